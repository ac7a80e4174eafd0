/** What the units of a layer make of one image of the probe: their maps, the most active first. */

import { picturesNeeded, PicturesCell } from "../../components/pictures_cell.js";
import { whole } from "../../model/fields.js";
import { activityOf, mapsOf, present } from "../../model/items.js";
import { html } from "../../vendor/htm-preact-3.1.1.js";
import { Thumbnails } from "./probe_image_picker.js";
import { Units } from "./unit_maps.js";
import { mapsOfUnit } from "./unit_section.js";

/** @typedef {{image: number}} Own  Which of the probe's. */

/** @param {Rec} record */
function needs(record) {
  return mapsOf(record) ? present(mapsOf(record), activityOf(record)) : picturesNeeded(record);
}

/** @param {CellProps<Own>} props */
function Cell(props) {
  const maps = mapsOf(props.record);
  return maps ? html`<${Units} ...${props} maps=${maps} activity=${activityOf(props.record)} />` : html`<${PicturesCell} ...${props} />`;
}

/** @param {StageProps<Own>} props */
function Top({ state, dispatch, lists }) {
  const ours = lists.flat().filter((record) => record.method === "activations" && mapsOf(record));
  if (!ours.length) return null;
  const count = Math.max(...ours.map((record) => mapsOf(record)?.shape[0] ?? 0));
  const photographed = ours.find((record) => record.photographs) ?? null;
  // Other methods know what the images are.
  const said = lists.flat().find((record) => record.probe === photographed?.probe && Array.isArray(record.meta.predictions));
  const names = Array.from({ length: count }, (_, image) => String(said?.meta.predictions?.[image]?.label_name ?? ""));
  return html`<${Thumbnails} ...${{ count, photographed, names, dispatch }} size=${ours[0].meta.size ?? [1, 1]} chosen=${Math.min(state.image, count - 1)} />`;
}

/** @type {View<Own>} */
export const view = {
  name: "activations",
  methods: ["activations"],
  title: "Activations",
  order: 30,
  css: new URL("./activations.css", import.meta.url),
  scales: {
    usual: "shared",
    shared: ["one scale", "One scale per layer, over the shown runs and all their epochs"],
    own: ["each map", "Each map on its own scale"],
  },
  state: { image: whole("image", 0) },
  help: "the maps of a layer’s units for the image that is chosen at the top, the most active first.",
  Cell,
  Top,
  needs,
  unitSections: [mapsOfUnit],
};
