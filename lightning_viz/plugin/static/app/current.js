/** What follows from the state: which view and which epoch are on the screen. */

import { nearest } from "../model/epochs.js";
import { epochsOf, layersOf, recordAt } from "../model/records.js";
import { shownRecords } from "../model/selection.js";
import { unitPage, viewsFor } from "./views.js";

/** @param {State} state */
export const shownViews = (state) => viewsFor(shownRecords(state));

/** What is on the screen: a view, or the page of a unit over it. @param {State} state */
export function currentView(state) {
  const view = viewBelow(state);
  return view && state.page === "unit" && state.unit ? unitPage : view;
}

/** @param {State} state */
export function viewBelow(state) {
  const views = shownViews(state);
  const asked = state.view ?? "";
  // Links of older versions name a method.
  return views.find((view) => view.name === asked) ?? views.find((view) => view.methods.includes(asked)) ?? views[0] ?? null;
}

/** The places of the slider: every epoch that some shown run has in this view. @param {State} state */
export function shownEpochs(state) {
  const view = currentView(state);
  return view ? epochsOf(shownRecords(state), view.methods) : [];
}

/**
 * Where the slider stands: the place nearest to the epoch that was asked for.
 * @param {State} state
 * @param {number[]} epochs
 */
export function currentEpoch(state, epochs) {
  return (state.epoch === null ? epochs.at(-1) : nearest(epochs, state.epoch)) || 0;
}

/**
 * What the current view needs at an epoch.
 * @param {State} state
 * @param {number} epoch
 * @returns {Ref[]}
 */
export function refsAt(state, epoch) {
  const view = currentView(state);
  const lists = shownRecords(state);
  if (view?.refs) return view.refs(lists, state, epoch);
  const { methods = [], find = recordAt, needs } = view ?? {};
  return methods.flatMap((method) =>
    layersOf(lists, method).flatMap((layer) =>
      lists.flatMap((records) => {
        const { record } = find(records, method, layer, epoch);
        return (record && needs?.(record, state)) ?? [];
      }),
    ),
  );
}
