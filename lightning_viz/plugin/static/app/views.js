/** What the registered views are together: tabs, parts of the state, the page of a unit. */

import { PicturesCell, picturesNeeded } from "../components/pictures_cell.js";
import { methodsOf } from "../model/records.js";
import { title } from "../render/text.js";
import * as registered from "../views/registry.js";
import { unitPageOf } from "../views/unit/page.js";

/** In the order of the tabs. @type {View[]} */
export const VIEWS = Object.values(registered).sort((a, b) => (a.order ?? Infinity) - (b.order ?? Infinity));

/** It lies over the others. */
export const unitPage = unitPageOf(VIEWS.flatMap((view) => view.unitSections ?? []));

/** The sheets that views bring. */
export const sheets = [...VIEWS, unitPage].flatMap((view) => view.css ?? []);

/** The parts of the state that views own. @type {Fields} */
export const viewFields = Object.assign({}, ...VIEWS.map((view) => view.state));

/** Of methods without a view, by method. @type {Map<string, View>} */
const generic = new Map();

/**
 * The views of the methods that the shown runs have records of; unknown methods are shown by their pictures.
 * @param {Rec[][]} lists
 * @returns {View[]}
 */
export function viewsFor(lists) {
  const methods = lists.flatMap(methodsOf);
  const unknown = [...new Set(methods)].filter((method) => !VIEWS.some((view) => view.methods.includes(method))).sort();
  for (const method of unknown) if (!generic.has(method)) generic.set(method, picturesOf(method));
  return [
    ...VIEWS.filter((view) => view.methods.some((method) => methods.includes(method)) && (!view.rows || view.rows(lists).length)),
    ...unknown.map((method) => /** @type {View} */ (generic.get(method))),
  ];
}

/** The pictures of a method as they were drawn. @param {string} method @returns {View} */
function picturesOf(method) {
  // A user's method may be called like a view of ours.
  const name = VIEWS.some((view) => view.name === method) ? `${method} pictures` : method;
  return { name, methods: [method], title: title(method), Cell: PicturesCell, needs: picturesNeeded };
}
