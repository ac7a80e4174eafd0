/** The strongest patches of a unit, on its page. */

import { allUnits, layBlocks, patchesNeeded, PatchGrid } from "../../components/patch_grid.js";
import { entriesOf, patchesIn, tableOf, tileSize, unitsIn } from "../../model/patch_tables.js";
import { drawnRecords, latestUntil } from "../../model/records.js";
import { openUnit } from "../../model/state.js";
import { epochText, number } from "../../render/text.js";
import { html } from "../../vendor/htm-preact-3.1.1.js";

/** Largest tile. */
const PATCH = 112;

/** What is older than the slider says so. @type {(record: Rec, epoch: number) => string} */
const from = (record, epoch) => (record.epoch === epoch ? "" : `from epoch ${epochText(record.epoch)}; `);

/** @param {UnitProps} props */
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

/** The table knows all units. @param {{record: Rec, unit: Unit, dispatch: Dispatch, blobs: import("../../io/blob_cache.js").Blobs}} props */
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

/** @type {UnitSection} */
export const patchesOfUnit = {
  key: "patches",
  order: 20,
  methods: ["patches"],
  title: (lists, { layer }) => `The ${Math.max(1, ...lists.flatMap((records) => drawnRecords(records, "patches", layer).map(patchesIn)))} strongest patches, and their reconstructions`,
  has: (records, layer) => drawnRecords(records, "patches", layer).some(tileSize),
  refs: (records, { layer }, epoch) => [latestUntil(records, "patches", layer, epoch).record].flatMap((record) => (record ? patchesNeeded(record) : [])),
  Cell: Patches,
};
