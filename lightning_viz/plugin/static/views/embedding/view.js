/** The feature space: each point an image of the data, near each other what the network takes for alike. */

import { picturesNeeded } from "../../components/pictures_cell.js";
import { assign } from "../../model/state.js";
import { html } from "../../vendor/htm-preact-3.1.1.js";
import { layoutOf, METHOD, needed } from "./model.js";
import { EmbeddingStage } from "./stage.js";
import { state } from "./state.js";

/** @type {[import("./state.js").Mode, string, string][]} */
const MODES = [
  ["points", "points", "A dot for each image, near each other what the network takes for alike"],
  ["images", "images", "The images themselves at their places"],
  ["neighbours", "neighbours", "The nearest images of some, by the distance of their features"],
];

/** What can be chosen in the toolbar. @param {{state: import("./state.js").OwnState, dispatch: Dispatch<import("./state.js").Own>}} props */
function Tools({ state, dispatch }) {
  return html`<div class="button-group" role="group" aria-label="Show as">
      ${MODES.map(([mode, word, title]) => html`<button key=${mode} aria-pressed=${state.embeddingMode === mode} title=${title} onClick=${() => dispatch(assign, { embeddingMode: mode })}>${word}</button>`)}
    </div>`;
}

/** @type {View<import("./state.js").Own>} */
export const view = {
  name: "embedding",
  methods: [METHOD],
  title: "Embedding",
  order: 60,
  css: new URL("./embedding.css", import.meta.url),
  state,
  help: `each point is an image of the data; near each other is what the network takes for alike. All epochs and runs are on
    one scale; runs are turned and mirrored upon the first. Distances are those of the features, before they were laid into
    the plane. Hold Ctrl and turn the wheel to enlarge; the wheel alone then moves the map.`,
  beat: 500,
  Tools,
  Stage: EmbeddingStage,
  refs: (lists, state, epoch) => [...needed(lists, state, epoch), ...lists.flatMap((records) => records.filter((one) => one.method === METHOD && one.epoch === epoch && !layoutOf(one)).flatMap(picturesNeeded))],
};
