/** The page of a unit: all that the shown runs know of it, side by side. It lies over the views; see `currentView`. */

import { UNIT_METHODS } from "../../model/units.js";
import { UnitStage } from "./page.js";
import { SECTIONS } from "./sections.js";

/** @type {import("../../model/types.js").View} */
export const unitPage = {
  name: "unit",
  methods: UNIT_METHODS,
  title: "Unit",
  css: new URL("./unit.css", import.meta.url),
  scales: null,
  Stage: UnitStage,
  needs: () => [],
  refs: (lists, { unit }, epoch) => (unit ? SECTIONS.flatMap((section) => lists.flatMap((records) => section.refs(records, unit, epoch))) : []),
};
