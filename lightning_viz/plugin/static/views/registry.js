/** The list of views. A new topic adds a folder beside this module, and one line here. */

import { methodsOf } from "../model/records.js";
import { picturesOf } from "./pictures/view.js";
import { unitPageOf } from "./unit/view.js";

/** @typedef {import("../model/types.js").View} View */

const MODULES = [
  import("./filters/view.js"),
  import("./images/view.js"),
  import("./activations/view.js"),
  import("./patches/view.js"),
  import("./evolution/view.js"),
  import("./embedding/view.js"),
];

/** In the order of the tabs. @type {View[]} */
export const VIEWS = (await Promise.all(MODULES)).map(({ view }) => view);

/** It lies over the others. */
export const unitPage = unitPageOf(VIEWS.flatMap((view) => view.unitSections ?? []));

/** The parts of the state that views own. @type {import("../model/types.js").Fields} */
export const viewFields = Object.assign({}, ...VIEWS.map((view) => view.state));

/** @type {Map<string, View>} */
const generic = new Map();

/**
 * The views of the methods that the shown runs have records of; unknown methods are shown by their pictures.
 * @param {import("../model/types.js").Rec[][]} lists
 * @returns {View[]}
 */
export function viewsFor(lists) {
  const methods = lists.flatMap(methodsOf);
  const unknown = [...new Set(methods)].filter((method) => !VIEWS.some((view) => view.methods.includes(method))).sort();
  for (const method of unknown) if (!generic.has(method)) generic.set(method, picturesOf(method, nameFor(method)));
  return [
    ...VIEWS.filter((view) => view.methods.some((method) => methods.includes(method)) && (!view.rows || view.rows(lists).length)),
    ...unknown.map((method) => /** @type {View} */ (generic.get(method))),
  ];
}

/** A user's method may be called like a view of ours. @param {string} method */
const nameFor = (method) => (VIEWS.some((view) => view.name === method) ? `${method} pictures` : method);
