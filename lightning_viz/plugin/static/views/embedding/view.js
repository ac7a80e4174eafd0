/** The feature space: each point an image of the data, near each other what the network takes for alike. */

import { picturesNeeded } from "../../components/pictures_cell.js";
import { assign } from "../../model/state.js";
import { html } from "../../vendor/htm-preact-3.1.1.js";
import { layoutOf, METHOD, needed } from "./model.js";
import { EmbeddingStage } from "./stage.js";

/** @type {[import("../../model/types.js").EmbeddingMode, string, string][]} */
const MODES = [
  ["points", "points", "A dot for each image, near each other what the network takes for alike"],
  ["images", "images", "The images themselves at their places"],
  ["neighbours", "neighbours", "The nearest images of some, by the distance of their features"],
];

/** What can be chosen in the toolbar. @param {{state: import("../../model/types.js").State, dispatch: import("../../model/types.js").Dispatch}} props */
function Tools({ state, dispatch }) {
  return html`<div class="button-group" role="group" aria-label="Show as">
      ${MODES.map(([mode, word, title]) => html`<button key=${mode} aria-pressed=${state.embeddingMode === mode} title=${title} onClick=${() => dispatch(assign, { embeddingMode: mode })}>${word}</button>`)}
    </div>`;
}

/** @type {import("../../model/types.js").View} */
export const embedding = {
  name: "embedding",
  methods: [METHOD],
  title: "Embedding",
  css: new URL("./embedding.css", import.meta.url),
  scales: null,
  beat: 500,
  Tools,
  Stage: EmbeddingStage,
  needs: (record) => (layoutOf(record) ? [] : picturesNeeded(record)),
  refs: (lists, state, epoch) => [...needed(lists, state, epoch), ...lists.flatMap((records) => records.filter((one) => one.method === METHOD && one.epoch === epoch && !layoutOf(one)).flatMap(picturesNeeded))],
};
