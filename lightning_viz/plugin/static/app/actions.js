/** Changes of the state that depend on what is shown. */

import { nearest } from "../model/epochs.js";
import { initialOf } from "../model/fields.js";
import { shownRuns } from "../model/selection.js";
import { chooseRuns } from "../model/state.js";
import { shownEpochs } from "./current.js";
import { viewFields } from "./views.js";

/**
 * Who goes to the end stays at the end, also when a newer epoch comes.
 * @param {State} state
 * @param {number} epoch
 * @returns {State}
 */
export function goTo(state, epoch) {
  const epochs = shownEpochs(state);
  const place = nearest(epochs, epoch);
  if (Number.isNaN(place)) return state;
  return { ...state, epoch: place === epochs.at(-1) ? null : place };
}

/**
 * @param {State} state
 * @param {string} run
 * @returns {State}
 */
export function toggleRun(state, run) {
  const shown = shownRuns(state).map((one) => one.run);
  return chooseRuns(state, shown.includes(run) ? shown.filter((name) => name !== run) : [...shown, run]);
}

/** What Escape lets go. */
const LET_GO = initialOf(Object.fromEntries(Object.entries(viewFields).filter(([, { escape }]) => escape)));

/**
 * Go back: from the page of a unit, or from what is picked out in a view.
 * @param {State} state
 * @returns {State}
 */
export const goBack = (state) => (state.page ? { ...state, page: null } : { ...state, ...LET_GO });
