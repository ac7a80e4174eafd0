/** What the network looks for in each image of the probe: all its maps side by side, the same map of all runs in one column. */

import { picturesNeeded } from "../../components/pictures_cell.js";
import { number } from "../../model/fields.js";
import { assign } from "../../model/state.js";
import { html } from "../../vendor/htm-preact-3.1.1.js";
import { MAP_KINDS, mapsIn } from "./columns.js";
import { ImageStage } from "./stage.js";

/** @typedef {{opacity: number}} Own  0: the photograph alone; 1: the map alone. */

/** How much of a map over a photograph is the map, as `lightning_viz.render.overlay` has it. */
const OPACITY = 0.6;

/** @param {Rec} record */
function needs(record) {
  const values = MAP_KINDS.filter((kind) => kind.method === record.method).flatMap((kind) => mapsIn(record, kind));
  return values.length ? values : picturesNeeded(record);
}

/** @param {{state: State & Own, dispatch: Dispatch<Own>}} props */
const Tools = ({ state, dispatch }) => html`<label class="button-group toolbar-opacity" title="How much of a map over a photograph is the map">
    <span class="dim">opacity</span>
    <input type="range" min="0" max="1" step="0.05" value=${state.opacity}
      onInput=${(/** @type {any} */ event) => dispatch(assign, { opacity: Number(event.target.value) })} />
    <span class="toolbar-amount">${Math.round(100 * state.opacity)}%</span>
  </label>`;

/** @type {View<Own>} */
export const view = {
  name: "images",
  methods: [...new Set(MAP_KINDS.map((kind) => kind.method))],
  title: "Images",
  order: 20,
  css: new URL("./images.css", import.meta.url),
  scales: {
    usual: "shared",
    shared: ["one scale", "One scale per column, over the shown runs and all their epochs"],
    own: ["each map", "Each map on its own scale"],
  },
  state: { opacity: number("opacity", OPACITY, (opacity) => opacity >= 0 && opacity <= 1) },
  help: `a line per run, a column per map. A tick on a column’s scale is how far a run reaches at this epoch. Small
    reconstructions are enlarged; frames in the photograph show where they lie.`,
  Tools,
  Stage: ImageStage,
  needs,
};
