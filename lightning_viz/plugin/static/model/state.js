/**
 * One state object, and pure functions that make the next one of it. A component changes it by `dispatch(change, ...)`,
 * e.g. `dispatch(goTo, 7)`.
 */

import { merge } from "./records.js";

/** @typedef {import("./types.js").State} State */
/** @typedef {import("./types.js").Run} Run */
/** @typedef {import("./types.js").Rec} Rec */

/** How many runs we choose when nobody has. */
const FEW = 5;

/** How much of a map over a photograph is the map, as `lightning_viz.render.overlay` has it. */
export const OPACITY = 0.6;

/** @type {State} */
export const INITIAL = {
  link: "loading", problem: "",
  runs: [], order: [], records: {}, problems: {}, kept: {}, tags: {}, series: {},
  chosen: null, automatic: [],
  epoch: null, view: null, tag: null, scale: null, zoom: 1, unit: null, hovered: null,
  image: 0, opacity: OPACITY, page: null, filmContent: "projection",
  embeddingMode: "points", grid: false, layer: null, emphasis: null, selected: null,
  playing: false, help: false,
};

/** Keeps the state, and tells who wants to know when it changed. */
export function createStore() {
  let state = INITIAL;
  /** @type {() => void} */
  let onChange = () => {};
  return {
    get: () => state,
    /** @type {import("./types.js").Dispatch} */
    dispatch: (change, ...args) => {
      state = change(state, ...args);
      onChange();
    },
    /** @param {() => void} callback */
    subscribe: (callback) => {
      onChange = callback;
    },
  };
}

/**
 * @param {State} state
 * @param {Run[]} runs
 * @returns {State}
 */
export function runsCame(state, runs) {
  const sorted = [...runs].sort((a, b) => naturally(a.run, b.run));
  // The same array as long as nothing is new: the curves are drawn anew when it changes.
  if (JSON.stringify(sorted) === JSON.stringify(state.runs)) return { ...state, link: "ready", problem: "" };
  const names = sorted.map((run) => run.run);
  const order = [...state.order, ...runs.map((run) => run.run).filter((name) => !state.order.includes(name))];
  const stay = state.automatic.filter((name) => names.includes(name));
  const more = names.filter((name) => !stay.includes(name)).slice(0, Math.max(0, FEW - stay.length));
  return { ...state, link: "ready", problem: "", runs: sorted, order, automatic: [...stay, ...more] };
}

/** version_2 before version_10. */
const naturally = new Intl.Collator("en", { numeric: true }).compare;

/**
 * @param {State} state
 * @param {string} problem
 * @returns {State}
 */
export const linkLost = (state, problem) => ({ ...state, link: "lost", problem });

/**
 * @param {State} state
 * @param {string} run
 * @param {Rec[]} records
 * @param {boolean} anew  Whether they replace what was known.
 * @returns {State}
 */
export function recordsCame(state, run, records, anew) {
  return { ...state, records: { ...state.records, [run]: anew ? records : merge(state.records[run] ?? [], records) } };
}

/**
 * Put some parts of the state in.
 * @param {State} state
 * @param {Partial<State>} parts
 * @returns {State}
 */
export const assign = (state, parts) => ({ ...state, ...parts });

/**
 * Put one entry into a part of the state that is a table.
 * @param {State} state
 * @param {"problems" | "kept" | "tags" | "series"} table
 * @param {string} key
 * @param {any} value
 * @returns {State}
 */
export const assignEntry = (state, table, key, value) => ({ ...state, [table]: { ...state[table], [key]: value } });

/**
 * @param {State} state
 * @param {string[]} chosen
 * @returns {State}
 */
export const chooseRuns = (state, chosen) => ({ ...state, chosen });

/**
 * Open the page of a unit.
 * @param {State} state
 * @param {string} layer
 * @param {number} unit
 * @returns {State}
 */
export const openUnit = (state, layer, unit) => ({ ...state, unit: { layer, unit }, page: "unit" });

/**
 * Go back: from the page of a unit, or from what is picked out of an embedding.
 * @param {State} state
 * @returns {State}
 */
export const goBack = (state) => (state.page ? { ...state, page: null } : { ...state, selected: null, emphasis: null });

/**
 * @param {string} run
 * @param {string} tag
 */
export const seriesKey = (run, tag) => JSON.stringify([run, tag]);
