/** Finding one's way in the records of runs. */

import { keptUrl } from "../io/api.js";
import { ascending, epochsOfSteps } from "./epochs.js";

/** @type {WeakMap<Rec[], Map<string, Map<string, Rec[]>>>} */
const indexes = new WeakMap();

/**
 * The records of a run by method and layer, each list in the order of epochs. Sorted once per list of records.
 * @param {Rec[]} records
 */
function indexed(records) {
  let methods = indexes.get(records);
  if (!methods) {
    methods = new Map();
    for (const record of [...records].sort((a, b) => a.epoch - b.epoch || a.seq - b.seq)) {
      const layers = methods.get(record.method) ?? methods.set(record.method, new Map()).get(record.method);
      const list = layers?.get(record.layer) ?? [];
      list.push(record);
      layers?.set(record.layer, list);
    }
    indexes.set(records, methods);
  }
  return methods;
}

/**
 * A record as the page knows it: what it calls a layer is a row, one for each callback that draws the layer. The name of a
 * callback follows where it has one of its own; without its method, and without the layer, if that is all it says.
 * @param {Rec} record
 * @returns {Rec}
 */
export function inRow(record) {
  const { method, name, layer } = record;
  const own = name.startsWith(`${method} `) ? name.slice(method.length + 1) : name;
  return !layer || name === method || own === layer ? record : { ...record, layer: `${layer} · ${own}` };
}

/** The layer that a row shows. @param {string} row */
export const layerOf = (row) => row.split(" · ")[0];

/**
 * The row in which some methods show a layer: its own; else, since a callback with a name has rows of its own, that of the
 * layer, or the first of it.
 * @param {Rec[][]} runs
 * @param {string[]} methods
 * @param {string} row
 */
export function rowOf(runs, methods, row) {
  const rows = methods.flatMap((method) => layersOf(runs, method));
  const [layer, own] = [layerOf(row), [row, layerOf(row)].find((one) => rows.includes(one))];
  return own ?? rows.find((one) => layerOf(one) === layer) ?? row;
}

/**
 * The drawings of a row that failed before they had a layer.
 * @param {Rec[]} records
 * @param {string} method
 * @param {string} layer
 */
function failedBefore(records, method, layer) {
  const name = history(records, method, layer)[0]?.name;
  return history(records, method, "").filter((one) => one.error && (name === undefined || one.name === name));
}

/** @param {Rec[]} records */
export const methodsOf = (records) => [...indexed(records).keys()];

/**
 * @param {Rec[]} records
 * @param {string} method
 * @param {string} layer
 * @returns {Rec[]} in the order of epochs
 */
export const history = (records, method, layer) => indexed(records).get(method)?.get(layer) ?? [];

/**
 * The layers that have something to see, in the order of their first record.
 * @param {Rec[][]} runs
 * @param {string} method
 */
export function layersOf(runs, method) {
  const layers = new Set();
  for (const records of runs) {
    for (const [layer, list] of indexed(records).get(method) ?? []) {
      if (list.some((record) => !record.error)) layers.add(layer);
    }
  }
  return /** @type {string[]} */ ([...layers]);
}

/** @param {Rec[][]} runs @param {string[]} methods */
export function epochsOf(runs, methods) {
  const layers = runs.flatMap((records) => methods.flatMap((method) => [...(indexed(records).get(method)?.values() ?? [])]));
  return ascending(layers.flat().map((record) => record.epoch));
}

/**
 * What a run has of a layer at an epoch: a record, or the reason why there is none.
 * @param {Rec[]} records
 * @param {string} method
 * @param {string} layer
 * @param {number} epoch
 * @returns {{record: Rec | null, error: string | null}}
 */
export function recordAt(records, method, layer, epoch) {
  const here = history(records, method, layer).filter((record) => record.epoch === epoch);
  const record = here.findLast((one) => !one.error) ?? null;
  // A drawing that failed before it had a layer is recorded without one.
  const failed = [...here, ...failedBefore(records, method, layer)].findLast((one) => one.error && one.epoch === epoch);
  return { record, error: record ? null : (failed?.error ?? null) };
}

/**
 * What was found of a layer: a record, and why one is missing, at which epoch.
 * @typedef {{record: Rec | null, error: string | null, at?: number}} Found
 */

/**
 * The newest record at or before an epoch, for methods that are drawn seldom; and why none is newer, if one failed.
 * @param {Rec[]} records
 * @param {string} method
 * @param {string} layer
 * @param {number} epoch
 * @returns {Found}
 */
export function latestUntil(records, method, layer, epoch) {
  const until = (/** @type {Rec[]} */ found) => found.filter((one) => one.epoch <= epoch);
  const here = until(history(records, method, layer));
  const record = here.findLast((one) => !one.error) ?? null;
  const failed = [...until(failedBefore(records, method, layer)), ...here].filter((one) => one.error && one.epoch > (record?.epoch ?? -Infinity)).at(-1);
  return { record, error: failed?.error ?? null, at: failed?.epoch };
}

/**
 * The records of a layer that have something to see, one per epoch.
 * @param {Rec[]} records
 * @param {string} method
 * @param {string} layer
 * @returns {Rec[]} in the order of epochs
 */
export function drawnRecords(records, method, layer) {
  const drawn = history(records, method, layer).filter((record) => !record.error);
  return [...new Map(drawn.map((record) => [record.epoch, record])).values()];
}

/**
 * Whether runs were drawn from different images.
 * @param {Rec[][]} runs
 * @param {string[]} methods
 */
export function otherProbes(runs, methods) {
  const probes = runs.flatMap((records) => records.filter((one) => one.probe && methods.includes(one.method)).map((one) => one.probe));
  return new Set(probes).size > 1;
}

/**
 * Put newly fetched records beside the known ones; of equal identity the newer stays.
 * @param {Rec[]} known
 * @param {Rec[]} fresh
 */
export function merge(known, fresh) {
  const key = (/** @type {any} */ record) => JSON.stringify([record.name, record.layer, record.batches]);
  return [...new Map([...known, ...fresh].map((record) => [key(record), record])).values()];
}

/**
 * Make records of the images that TensorBoard kept of a run without a store.
 * @param {Kept} kept
 * @param {{epoch: number, step: number}[]} pairs  what is known of steps and epochs; if nothing, epochs are steps
 * @returns {Rec[]}
 */
export function recordsFromKept(kept, pairs) {
  const epochOf = epochsOfSteps(pairs) ?? ((step) => step);
  /** @type {Map<string, any>} */
  const records = new Map();
  for (const { tag, step, wall_time, key } of kept.images) {
    const [, method, layer, place] = /^(?:viz|lightning_viz)\/([^/]+)\/(.*?)(?:\/(\d+))?$/.exec(tag) ?? [];
    if (!method) continue;
    const epoch = Math.max(0, epochOf(step));
    const whole = Math.round(epoch);
    const record = records.get(JSON.stringify([method, layer, step])) ?? {
      seq: 0, method, name: method, layer, step, wall_time, batches: step, probe: null, photographs: null, error: null, scalars: {}, meta: {}, items: [],
      epoch: Math.abs(epoch - whole) < 0.05 ? whole : Math.round(epoch * 100) / 100,
    };
    record.items.push({
      kind: "picture", name: `picture ${place ?? 0}`, shape: [], caption: "", url: keptUrl(key),
    });
    records.set(JSON.stringify([method, layer, step]), record);
  }
  return [...records.values()];
}
