/** The page of a unit: all that the shown runs know of it, side by side. It lies over the views; see `currentView`. */

import { UnitStage } from "./page.js";

/**
 * @param {import("../../model/types.js").UnitSection[]} sections  what views tell of a unit
 * @returns {import("../../model/types.js").View}
 */
export function unitPageOf(sections) {
  const unitSections = [...sections].sort((a, b) => a.order - b.order);
  return {
    name: "unit",
    methods: [...new Set(unitSections.flatMap((section) => section.methods))],
    title: "Unit",
    help: "All that is known of one. Click its number, or double-click a filter or a map.",
    scales: null,
    Stage: UnitStage,
    unitSections,
    refs: (lists, { unit }, epoch) => (unit ? unitSections.flatMap((section) => lists.flatMap((records) => section.refs(records, unit, epoch))) : []),
  };
}
