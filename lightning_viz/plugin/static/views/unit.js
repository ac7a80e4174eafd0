/** The page of a unit: all that the shown runs know of it, side by side. It lies over the views; see `currentView`. */

import { UnitStage } from "../components/unitpage.js";
import { SECTIONS } from "../components/unitsections.js";
import { UNIT_METHODS } from "../units.js";

/** @type {import("../types.js").View} */
export const unitPage = {
  name: "unit",
  methods: UNIT_METHODS,
  title: "Unit",
  scales: null,
  Stage: UnitStage,
  needs: () => [],
  refs: (lists, { unit }, epoch) => (unit ? SECTIONS.flatMap((section) => lists.flatMap((records) => section.refs(records, unit, epoch))) : []),
};
