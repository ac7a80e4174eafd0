/** The patches of the data that excite each unit most, beside what in them does it. Zeiler & Fergus 2014, Fig. 2. */

import { layBlocks, patchesNeeded, PatchGrid } from "../../components/patch_grid.js";
import { PicturesCell } from "../../components/pictures_cell.js";
import { patchesIn, tileSize, unitCount, unitsIn } from "../../model/patch_tables.js";
import { latestUntil } from "../../model/records.js";
import { epochText } from "../../render/text.js";
import { html } from "../../vendor/htm-preact-3.1.1.js";
import { patchesOfUnit } from "./unit_section.js";

/** Width of a tile where there is room for several units. */
const TARGET = 34;
const MOST = 56;

/** @param {CellProps} props */
function Cell(props) {
  const { record, related, room, state, dispatch, blobs, epoch, error } = props;
  if (!tileSize(record)) return html`<${PicturesCell} ...${props} />`;
  const units = unitsIn(record);
  const drawn = related.filter((one) => !one.error);
  const blocks = layBlocks(units.length, drawn, room.width, TARGET * state.zoom, MOST * state.zoom, true);
  return html`<div>
    ${error && html`<p class="failed"><b>The last drawing failed.</b> ${error}</p>`}
    <${PatchGrid} ...${{ record, units, blocks, blobs, dispatch }} chosen=${state.unit} note=${noteOf(record, epoch)} />
  </div>`;
}

/** What one sees, in words. @param {Rec} record @param {number} epoch */
function noteOf(record, epoch) {
  const from = record.epoch === epoch ? "" : `from epoch ${epochText(record.epoch)}; `;
  const [units, count] = [unitsIn(record).length, unitCount(record)];
  return `${from}${patchesIn(record)} strongest of ${record.meta.images ?? "all"} images, one patch of each; ${units < count ? `${units} of ${count} units; ` : ""}reconstructions on own scales`;
}

/** @type {View} */
export const view = {
  name: "patches",
  methods: ["patches"],
  title: "Patches",
  order: 40,
  Cell,
  find: latestUntil,
  needs: patchesNeeded,
  help: "what excites each unit most, beside what in it does so; the green line holds 95 % of the gradient's energy.",
  unitSections: [patchesOfUnit],
};
