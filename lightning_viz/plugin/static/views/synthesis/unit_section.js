/** The synthesised image of a unit, on its page. */

import { picturesOf } from "../../model/items.js";
import { drawnRecords } from "../../model/records.js";
import { openUnit } from "../../model/state.js";
import { allTargets, isOfUnits, sheetOf } from "../../model/targets.js";
import { html } from "../../vendor/htm-preact-3.1.1.js";
import { History } from "./history.js";

/** @type {(records: Rec[], layer: string) => Rec[]} */
const drawnOf = (records, layer) => drawnRecords(records, "class_model", layer).filter((record) => sheetOf(record) && isOfUnits(record));

/** @param {UnitProps} props */
function ImageOfUnit({ records, lists, unit: { layer, unit }, epoch, room, state, dispatch, go, blobs }) {
  const drawn = drawnOf(records, layer);
  const units = allTargets(drawn).map((target) => target.unit).sort((a, b) => a - b);
  if (units.includes(unit)) {
    return html`<${History} ...${{ drawn, unit, epoch, go, blobs }} related=${lists.flatMap((list) => drawnOf(list, layer))} width=${room.width} zoom=${state.zoom} />`;
  }
  const near = [units.findLast((one) => one < unit), units.find((one) => one > unit)].filter((one) => one !== undefined);
  return html`<p class="dim">No image of unit ${unit}: they are made for the chosen units only.
    ${near.map((one) => html`<button key=${one} class="link" onClick=${() => dispatch(openUnit, layer, one)}>unit ${one}</button>`)}</p>`;
}

/** @type {UnitSection} */
export const imageOfUnit = {
  key: "synthesis",
  order: 25,
  methods: ["class_model"],
  title: () => "The image that excites it most, found by gradient ascent",
  has: (records, layer) => drawnOf(records, layer).length > 0,
  refs: (records, { layer }) => drawnOf(records, layer).flatMap(picturesOf),
  Cell: ImageOfUnit,
};
