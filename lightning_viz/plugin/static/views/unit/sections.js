/**
 * What the page of a unit shows, from top to bottom. A new section (a synthesised image, its health) is one entry of
 * SECTIONS: what it is called, when it is there, what it needs, and what draws it for one run; or for all in one.
 */

import { Lines } from "../../components/epoch_chart.js";
import { Film, filmItems } from "../../components/film_strip.js";
import { filmOf, layFilm, pictorial, winnerChanged } from "../../components/film_strip_layout.js";
import { allUnits, layBlocks, patchesNeeded, PatchGrid } from "../../components/patch_grid.js";
import { ascending } from "../../model/epochs.js";
import { entriesOf, patchesIn, tableIn, tableOf, tileSize, unitsIn } from "../../model/patch_tables.js";
import { drawnRecords, latestUntil } from "../../model/records.js";
import { openUnit } from "../../model/state.js";
import { epochText, number } from "../../render/text.js";
import { html } from "../../vendor/htm-preact-3.1.1.js";
import { FilterOfUnit, MapsOfUnit, mapsItems, weightsIn } from "./parts.js";

/** @typedef {import("../../model/types.js").Rec} Rec */
/** @typedef {import("../../model/types.js").Unit} Unit */
/** @typedef {import("../../model/types.js").StageProps & {unit: Unit, records: Rec[], run: import("../../model/types.js").Run, room: {width: number, height: number}}} PartProps */

/**
 * @typedef {Object} Section
 * @property {string} key
 * @property {(lists: Rec[][], unit: Unit) => string} title
 * @property {(records: Rec[], layer: string) => boolean} has  Whether a run has it.
 * @property {(records: Rec[], unit: Unit, epoch: number) => import("../../model/types.js").Ref[]} refs
 * @property {import("../../model/types.js").Component} [Cell]  for one run
 * @property {import("../../model/types.js").Component} [Joint]  for all runs
 */

/** Largest tile of the nine patches. */
const PATCH = 112;
const FRAME = 76;
const CURVE = { width: 620, height: 132 };

/** @type {(records: Rec[], layer: string) => Rec[]} Strongest patches: whichever method drew them more often. */
function tabled(records, layer) {
  const [evolution, patches] = ["evolution", "patches"].map((method) => drawnRecords(records, method, layer).filter((one) => tableIn(one, "image_ids")));
  return evolution.length >= patches.length ? evolution : patches;
}

/** What is older than the slider says so. @type {(record: Rec, epoch: number) => string} */
const from = (record, epoch) => (record.epoch === epoch ? "" : `from epoch ${epochText(record.epoch)}; `);

/** @param {PartProps} props */
function Patches({ records, lists, unit, epoch, room, state, dispatch, blobs }) {
  const { record } = latestUntil(records, "patches", unit.layer, epoch);
  if (!record) return html`<p class="dim">None until epoch ${epochText(drawnRecords(records, "patches", unit.layer)[0].epoch)}.</p>`;
  if (!unitsIn(record).includes(unit.unit)) return html`<${WithoutPictures} ...${{ record, unit, dispatch, blobs }} />`;
  const related = lists.flatMap((list) => drawnRecords(list, "patches", unit.layer));
  const blocks = layBlocks(1, related, room.width, 0, PATCH * state.zoom, false);
  const [strongest] = entriesOf(tableOf(blobs, record, "values"), unit.unit);
  const note = `${from(record, epoch)}strongest activation ${strongest === undefined ? "…" : number(strongest)}, of ${record.meta.images ?? "all"} images`;
  return html`<${PatchGrid} ...${{ record, blocks, blobs, dispatch, note }} units=${[unit.unit]} chosen=${null} />`;
}

/** The table knows all units. @param {{record: Rec, unit: Unit, dispatch: import("../../model/types.js").Dispatch, blobs: import("../../io/blob_cache.js").Blobs}} props */
function WithoutPictures({ record, unit, dispatch, blobs }) {
  const units = allUnits([record]);
  const near = [units.findLast((one) => one < unit.unit), units.find((one) => one > unit.unit)].filter((one) => one !== undefined);
  const images = entriesOf(tableOf(blobs, record, "image_ids"), unit.unit);
  const values = entriesOf(tableOf(blobs, record, "values"), unit.unit);
  const found = images.flatMap((image, rank) => (image >= 0 ? [{ image, value: values[rank] }] : []));
  return html`<div class="without-pictures">
    <p>No pictures of unit ${unit.unit}: they are made for the chosen units only, <code>TopPatches(units=[${unit.unit}])</code>.
      ${near.map((one) => html`<button key=${one} class="link" onClick=${() => dispatch(openUnit, unit.layer, one)}>unit ${one}</button>`)}</p>
    ${found.length > 0
      ? html`<p class="dim">Its strongest images at epoch ${epochText(record.epoch)}, and their activations:</p>
          <ul>${found.map(({ image, value }) => html`<li key=${image}><b>${image}</b><span class="dim">${number(value)}</span></li>`)}</ul>`
      : html`<p class="dim">${images.length ? "No image excites it." : ""}</p>`}
  </div>`;
}

/** @param {PartProps} props */
function Strip({ records, lists, unit, epoch, room, state, dispatch, go, blobs }) {
  const parts = FILMS.map(({ method, lanes }) => {
    const drawn = drawnRecords(records, method, unit.layer);
    const whole = filmOf(drawn, lists.flatMap((list) => drawnRecords(list, method, unit.layer)), lanes);
    return { ...whole, units: whole.units.filter((one) => one === unit.unit) };
  }).filter((film) => film.frames.size && film.units.length);
  if (!parts.length) return html`<p class="dim">No pictures of this unit. <code>FeatureEvolution(units=[${unit.unit}])</code></p>`;
  return html`<div>${parts.map((film) => html`<${Film} key=${film.lanes.join()} ...${{ film, epoch, dispatch, go, blobs }} layout=${layFilm(film, room.width, epoch, state.zoom, FRAME, 0)}
    layer=${unit.layer} chosen=${null} note=${film.lanes[0] === "weights" ? "its weights" : "its strongest patch, and what in it excites the unit; cut corner: another image won than before"} />`)}</div>`;
}

/** @type {{method: string, lanes: import("../../components/film_strip_layout.js").Lane[]}[]} */
const FILMS = [{ method: "filters", lanes: ["weights"] }, { method: "evolution", lanes: ["patch", "projection"] }];

/** The strongest activation over the data. @param {PartProps & {width: number}} props */
function Strongest({ runs, lists, state, unit, epoch, go, blobs, width }) {
  const drawn = lists.map((records) => tabled(records, unit.layer));
  const epochs = ascending(drawn.flat().map((record) => record.epoch));
  const lines = runs.map(({ run }, place) => ({
    run, place: state.order.indexOf(run),
    points: drawn[place].flatMap((record, at) => {
      const [value] = entriesOf(tableOf(blobs, record, "values"), unit.unit, 0);
      return value !== undefined && Number.isFinite(value) ? [{ epoch: record.epoch, value, changed: winnerChanged(blobs, drawn[place], at, unit.unit) }] : [];
    }),
  }));
  const values = lines.flatMap((line) => line.points.map((point) => point.value));
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values) || 1];
  return html`<${Lines} title="Large mark: another image won than at the drawing before" ...${{ lines, epochs, epoch, go, low, high }} width=${Math.min(CURVE.width, width)} height=${CURVE.height} />`;
}

/** @type {Section[]} */
export const SECTIONS = [
  {
    key: "filter",
    title: () => "Filter",
    has: (records, layer) => drawnRecords(records, "filters", layer).some(weightsIn),
    refs: (records, { layer }, epoch) => [weightsIn(latestUntil(records, "filters", layer, epoch).record)].flatMap((item) => item ?? []),
    Cell: FilterOfUnit,
  },
  {
    key: "patches",
    title: (lists, { layer }) => `The ${Math.max(1, ...lists.flatMap((records) => drawnRecords(records, "patches", layer).map(patchesIn)))} strongest patches, and their reconstructions`,
    has: (records, layer) => drawnRecords(records, "patches", layer).some(tileSize),
    refs: (records, { layer }, epoch) => [latestUntil(records, "patches", layer, epoch).record].flatMap((record) => (record ? patchesNeeded(record) : [])),
    Cell: Patches,
  },
  {
    key: "film",
    title: () => "Over the epochs",
    has: (records, layer) => drawnRecords(records, "evolution", layer).some(tileSize) || drawnRecords(records, "filters", layer).some(pictorial),
    refs: (records, { layer }) => FILMS.flatMap(({ method, lanes }) =>
      drawnRecords(records, method, layer).filter((record) => (method === "filters" ? pictorial(record) : tileSize(record))).flatMap((record) => filmItems(record, lanes))),
    Cell: Strip,
  },
  {
    key: "curve",
    title: () => "Strongest activation over the data",
    has: (records, layer) => tabled(records, layer).length > 0,
    refs: (records, { layer }) => tabled(records, layer).flatMap((record) => ["values", "image_ids"].flatMap((name) => tableIn(record, name) ?? [])),
    Joint: Strongest,
  },
  {
    key: "maps",
    title: () => "Activation maps on the probe images",
    has: (records, layer) => drawnRecords(records, "activations", layer).some((record) => mapsItems(record).length),
    refs: (records, { layer }, epoch) => [latestUntil(records, "activations", layer, epoch).record].flatMap((record) => (record ? mapsItems(record) : [])),
    Cell: MapsOfUnit,
  },
];
