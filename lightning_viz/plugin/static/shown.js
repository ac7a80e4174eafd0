/** What follows from the state: which runs, views, epochs and curves are on the screen. */

import { nearest } from "./epochs.js";
import { epochsOf } from "./records.js";
import { viewsFor } from "./views/index.js";
import { unitPage } from "./views/unit.js";

/** @typedef {import("./types.js").State} State */

/** @param {State} state */
export function shownRuns(state) {
  const exists = state.runs.map((run) => run.run);
  // A link may name runs that are gone: then it is as if nobody had chosen.
  const asked = state.chosen?.length && !state.chosen.some((name) => exists.includes(name)) ? null : state.chosen;
  return state.runs.filter((run) => (asked ?? state.automatic).includes(run.run));
}

/** @param {State} state */
export const shownRecords = (state) => shownRuns(state).map((run) => state.records[run.run] ?? []);

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

/**
 * The places of the slider: every epoch that some shown run has in this view.
 * @param {State} state
 */
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

/** @param {State} state */
export function shownTags(state) {
  return [...new Set(shownRuns(state).flatMap((run) => state.tags[run.run] ?? []))];
}

/** @param {State} state */
export function currentTag(state) {
  const tags = shownTags(state);
  return state.tag !== null && tags.includes(state.tag) ? state.tag : usualTag(tags);
}

/**
 * The first whose name holds "loss", training before validation.
 * @param {string[]} tags
 */
function usualTag(tags) {
  const losses = tags.filter((tag) => /loss/i.test(tag));
  const training = losses.find((tag) => /train/i.test(tag)) ?? losses.find((tag) => !/val|test/i.test(tag));
  return training ?? losses[0] ?? tags.find((tag) => tag !== "epoch" && tag !== "hp_metric") ?? null;
}
