/** What the units of a layer make of one image of the probe: their maps, the most active first. */

import { picturesNeeded, PicturesCell } from "../../components/pictures_cell.js";
import { html } from "../../vendor/htm-preact-3.1.1.js";
import { Thumbnails } from "./probe_image_picker.js";
import { Units } from "./unit_maps.js";

/** @typedef {import("../../model/types.js").Rec} Rec */

/** @param {Rec} record */
const mapsOf = (record) => record.items.find((item) => item.kind === "values" && item.name === "maps" && item.shape.length === 4 && !item.shape.includes(0));

/** @param {Rec} record */
const activityOf = (record) => record.items.find((item) => item.kind === "values" && item.name === "activity" && item.shape.length === 2);

/** @param {Rec} record */
function needs(record) {
  const [maps, activity] = [mapsOf(record), activityOf(record)];
  return maps ? [maps, ...(activity ? [activity] : [])] : picturesNeeded(record);
}

/** @param {import("../../model/types.js").CellProps} props */
function Cell(props) {
  const maps = mapsOf(props.record);
  return maps ? html`<${Units} ...${props} maps=${maps} activity=${activityOf(props.record)} />` : html`<${PicturesCell} ...${props} />`;
}

/** @param {import("../../model/types.js").StageProps} props */
function Top({ state, dispatch, lists }) {
  const ours = lists.flat().filter((record) => record.method === "activations" && mapsOf(record));
  if (!ours.length) return null;
  const count = Math.max(...ours.map((record) => mapsOf(record)?.shape[0] ?? 0));
  const photographed = ours.find((record) => record.photographs) ?? null;
  // Other methods know what the images are.
  const said = lists.flat().find((record) => record.probe === photographed?.probe && Array.isArray(record.meta.predictions));
  const names = Array.from({ length: count }, (_, image) => String(said?.meta.predictions[image]?.label_name ?? ""));
  return html`<${Thumbnails} ...${{ count, photographed, names, dispatch }} size=${ours[0].meta.size ?? [1, 1]} chosen=${Math.min(state.image, count - 1)} />`;
}

/** @type {import("../../model/types.js").View} */
export const activations = {
  name: "activations",
  methods: ["activations"],
  title: "Activations",
  css: new URL("./activations.css", import.meta.url),
  scales: {
    usual: "shared",
    shared: ["one scale", "One scale per layer, over the shown runs and all their epochs"],
    own: ["each map", "Each map on its own scale"],
  },
  Cell,
  Top,
  needs,
};
