/** Layouts of points in the plane: what the records say of them, and on which scale all are shown. */

import { present, valuesOf } from "../../model/items.js";
import { drawnRecords, history, latestUntil, layersOf } from "../../model/records.js";
import { align, STILL } from "./procrustes.js";

/** @typedef {import("./state.js").OwnState} State */
/** @typedef {import("../../io/blob_cache.js").Blobs} Blobs */
/** @typedef {import("./procrustes.js").Motion} Motion */

export const METHOD = "embedding";

/**
 * One run, as all ways to look at it show it.
 * @typedef {Object} Column
 * @property {Run} run
 * @property {Rec[]} drawn  All epochs of the layer.
 * @property {Rec | null} record  The one that is shown.
 * @property {string | null} error  Why a newer one is missing.
 * @property {number | undefined} failedAt
 * @property {Sample | null} sample
 * @property {Values | null} layout  Null: on its way, or not to be had.
 * @property {string} problem  Why not.
 * @property {Float32Array | null} labels  By point.
 * @property {boolean} linked  Whether its points are those of the first run.
 * @property {Motion} motion  To the first run's.
 * @property {number} missing  How many points have no place.
 */

/** @param {Rec} record */
export const layoutOf = (record) => valuesOf(record, "layout");

/** @type {(record: Rec | null, name: "neighbours" | "distances" | "labels") => Item | undefined} */
export const tableOf = (record, name) => valuesOf(record, name);

/**
 * The layer that is shown: as asked, else the first.
 * @param {State} state
 * @param {Rec[][]} lists
 */
export function shownLayer(state, lists) {
  const layers = layersOf(lists, METHOD);
  return state.layer !== null && layers.includes(state.layer) ? state.layer : (layers[0] ?? "");
}

/** @param {Rec} record @returns {Sample} */
function sampleOf(record) {
  const { points } = record.meta;
  const [height, width] = Array.isArray(points?.thumbnail) ? points.thumbnail.map(Number) : [];
  const whole = (/** @type {unknown} */ value) => (Number.isInteger(value) && Number(value) > 0 ? Number(value) : 0);
  return {
    hash: points && /^[0-9a-f]{16}$/.test(points.hash) ? points.hash : "",
    count: layoutOf(record)?.shape[0] ?? 0,
    columns: whole(points?.columns), width: whole(width), height: whole(height),
    names: Array.isArray(record.meta.class_names) ? record.meta.class_names.map(String) : [],
  };
}

/** @param {Rec} record */
export const isSound = (record) => layoutOf(record)?.shape.length === 2 && layoutOf(record)?.shape[1] === 2;

/**
 * The records that tell what the points of another are: any that has labels, of the same points.
 * @param {Rec} record
 * @param {Rec[]} drawn
 */
const labelled = (record, drawn) => [record, ...drawn].find((one) => tableOf(one, "labels") && sampleOf(one).hash === sampleOf(record).hash);

/**
 * What is to be fetched: the layouts of all epochs, since one scale holds them all; the nearest first.
 * @param {Rec[][]} lists
 * @param {State} state
 * @param {number} epoch
 * @returns {Item[]}
 */
export function needed(lists, state, epoch) {
  const layer = shownLayer(state, lists);
  const tables = state.embeddingMode === "neighbours" || state.selected?.points.length === 1;
  const now = lists.flatMap((records) => {
    const { record } = latestUntil(records, METHOD, layer, epoch);
    if (!record) return [];
    const source = labelled(record, drawnRecords(records, METHOD, layer));
    return [layoutOf(record), source && tableOf(source, "labels"), ...(tables ? [tableOf(record, "neighbours"), tableOf(record, "distances")] : [])];
  });
  const all = lists.flatMap((records) => drawnRecords(records, METHOD, layer).filter(isSound).map(layoutOf));
  return present(...new Set([...now, ...all]));
}

/** A layout that has been fetched. @type {(blobs: Blobs, record: Rec) => Values | null} */
export const fetched = (blobs, record) => /** @type {Values | null} */ (isSound(record) ? blobs.get(layoutOf(record)?.url ?? "") : null);

/**
 * @param {Run[]} runs
 * @param {Rec[][]} lists
 * @param {string} layer
 * @param {number} epoch
 * @param {Blobs} blobs
 * @returns {Column[]}
 */
export function columnsOf(runs, lists, layer, epoch, blobs) {
  const columns = runs.map((run, place) => columnOf(run, lists[place], layer, epoch, blobs));
  const first = leading(columns);
  for (const column of columns) {
    column.linked = column === first || (column.sample?.hash !== "" && column.sample?.hash === first?.sample?.hash && column.sample?.count === first?.sample?.count);
    if (first && column !== first && column.linked) column.motion = motionTo(first, column, blobs);
  }
  return columns;
}

/**
 * The run that the others are laid upon: the first of those whose sample most runs have. Whether or not it has a map at
 * this epoch: the others must not turn when it begins.
 * @param {Column[]} columns
 */
function leading(columns) {
  const sound = columns.filter((column) => column.drawn.some(isSound));
  const like = (/** @type {Column} */ column) => sound.filter((other) => other.sample?.hash && other.sample.hash === column.sample?.hash).length;
  return sound.reduce((/** @type {Column | undefined} */ best, column) => (best && like(best) >= like(column) ? best : column), undefined);
}

/** @type {(run: Run, records: Rec[], layer: string, epoch: number, blobs: Blobs) => Column} */
function columnOf(run, records, layer, epoch, blobs) {
  const { record: newest, error, at } = latestUntil(records, METHOD, layer, epoch);
  const drawn = drawnRecords(records, METHOD, layer);
  // While a layout is on its way, the one before stays.
  const waits = newest && isSound(newest) && !fetched(blobs, newest) && !blobs.failure(layoutOf(newest)?.url ?? "");
  const record = (waits && drawn.findLast((one) => one.epoch <= epoch && fetched(blobs, one))) || newest;
  const item = record && layoutOf(record);
  const layout = record && fetched(blobs, record);
  const source = record && labelled(record, drawn);
  const known = item ? record : drawn.findLast(layoutOf);
  const labels = /** @type {Values | null} */ (source && blobs.get(tableOf(source, "labels")?.url ?? ""));
  const wrong = item && record && !isSound(record) ? `The layout has the shape ${item.shape.join("\u00d7")}, not N\u00d72.` : "";
  return {
    run, drawn, record, error, layout,
    failedAt: at,
    sample: known ? sampleOf(known) : null,
    problem: wrong || (item && blobs.failure(item.url)) || "",
    labels: labels && labels.data.length === layout?.shape[0] ? labels.data : null,
    linked: false,
    motion: STILL,
    missing: layout ? withoutPlace(layout) : 0,
  };
}

/** Once per pair of layouts. @type {WeakMap<Values, Map<Values, Motion>>} */
const motions = new WeakMap();

/**
 * How a run is laid upon the first: the same motion at all its epochs, that of the last epoch that both have.
 * @param {Column} first
 * @param {Column} column
 * @param {Blobs} blobs
 */
function motionTo(first, column, blobs) {
  const like = (/** @type {Column} */ one) => one.drawn.filter((record) => isSound(record) && sampleOf(record).hash === column.sample?.hash);
  const common = like(column).findLast((record) => like(first).some((other) => other.epoch === record.epoch)) ?? like(column).at(-1);
  const other = like(first).find((record) => record.epoch === common?.epoch) ?? like(first).at(-1);
  const [points, reference] = [common && fetched(blobs, common), other && fetched(blobs, other)];
  if (!points || !reference) return STILL;
  const known = motions.get(points) ?? new Map();
  motions.set(points, known);
  if (!known.has(reference)) known.set(reference, align(points.data, reference.data));
  return /** @type {Motion} */ (known.get(reference));
}

/** @param {Values} layout */
function withoutPlace({ data }) {
  let count = 0;
  for (let at = 0; at + 1 < data.length; at += 2) if (!Number.isFinite(data[at] + data[at + 1])) count++;
  return count;
}

/** Whether anything was recorded of a layer in a run. @type {(records: Rec[], layer: string) => boolean} */
export const hasLayer = (records, layer) => history(records, METHOD, layer).length > 0 || history(records, METHOD, "").length > 0;

/** @param {number | undefined} label */
export const isLabel = (label) => Number.isInteger(label) && Number(label) >= 0;

/** @type {(sample: Sample | null, label: number | undefined) => string} */
export const className = (sample, label) => (isLabel(label) ? (sample?.names[Number(label)] ?? `class ${label}`) : "");

/** Whether two points are of different classes; false where one has none. @type {(labels: Float32Array | null, one: number, other: number) => boolean} */
export const differ = (labels, one, other) => labels !== null && isLabel(labels[one]) && isLabel(labels[other]) && labels[one] !== labels[other];

/**
 * The neighbours of a point, nearest first; missing ones are left out.
 * @param {Column} column
 * @param {number} point
 * @param {Blobs} blobs
 * @returns {{point: number, distance: number}[] | null}  Null: on their way, or not recorded.
 */
export function neighboursOf({ record, sample }, point, blobs) {
  const [indices, distances] = /** @type {const} */ (["neighbours", "distances"]).map((name) => {
    const item = tableOf(record, name);
    return /** @type {Values | null} */ (item ? blobs.get(item.url) : null);
  });
  const count = sample?.count ?? 0;
  if (!indices || indices.shape[0] !== count || indices.shape.length !== 2 || point >= count) return null;
  const k = indices.shape[1];
  return Array.from({ length: k }, (_, place) => ({ point: indices.data[point * k + place], distance: distances?.data[point * k + place] ?? NaN }))
    .filter(({ point: other }) => Number.isInteger(other) && other >= 0 && other < count);
}
