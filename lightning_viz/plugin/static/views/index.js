/** The list of views. A new topic adds one module beside this one, and one line here. */

import { filters } from "./filters.js";
import { picturesOf } from "./pictures.js";

/** @typedef {import("../types.js").View} View */

/** In the order of the tabs. @type {View[]} */
const VIEWS = [filters];

/** @type {Map<string, View>} */
const generic = new Map();

/**
 * The views of the methods that the shown runs have records of; unknown methods are shown by their pictures.
 * @param {string[]} methods
 * @returns {View[]}
 */
export function viewsFor(methods) {
  const unknown = [...new Set(methods)].filter((method) => !VIEWS.some((view) => view.method === method)).sort();
  for (const method of unknown) if (!generic.has(method)) generic.set(method, picturesOf(method));
  return [
    ...VIEWS.filter((view) => methods.includes(view.method)),
    ...unknown.map((method) => /** @type {View} */ (generic.get(method))),
  ];
}
