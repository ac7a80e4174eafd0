/** What the network looks for in each image of the probe: all its maps side by side, the same map of all runs in one column. */

import { picturesNeeded } from "../../components/pictures_cell.js";
import { MAP_KINDS, valuesOf } from "./columns.js";
import { ImageStage } from "./stage.js";

/** @typedef {import("../../model/types.js").Rec} Rec */

/** @param {Rec} record */
function needs(record) {
  const values = MAP_KINDS.filter((kind) => kind.method === record.method).flatMap((kind) => valuesOf(record, kind));
  return values.length ? values : picturesNeeded(record);
}

/** @type {import("../../model/types.js").View} */
export const images = {
  name: "images",
  methods: [...new Set(MAP_KINDS.map((kind) => kind.method))],
  title: "Images",
  css: new URL("./images.css", import.meta.url),
  scales: {
    usual: "shared",
    shared: ["one scale", "One scale per column, over the shown runs and all their epochs"],
    own: ["each map", "Each map on its own scale"],
  },
  opacity: true,
  Stage: ImageStage,
  needs,
};
