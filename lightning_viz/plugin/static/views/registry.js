/** The list of views. A new topic adds a folder beside this module, and one line here. */

import { methodsOf } from "../model/records.js";
import { activations } from "./activations/view.js";
import { embedding } from "./embedding/view.js";
import { evolution } from "./evolution/view.js";
import { filters } from "./filters/view.js";
import { images } from "./images/view.js";
import { patches } from "./patches/view.js";
import { picturesOf } from "./pictures/view.js";
import { unitPage } from "./unit/view.js";

export { unitPage };

/** @typedef {import("../model/types.js").View} View */

/** In the order of the tabs. @type {View[]} */
const VIEWS = [filters, images, activations, patches, evolution, embedding];

/** The sheets that views bring. */
export const sheets = [...VIEWS, unitPage].flatMap((view) => view.css ?? []);

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
