/**
 * One state object, and pure functions that make the next one of it. A component changes it by `dispatch(change, ...)`,
 * e.g. `dispatch(goTo, 7)`.
 */

import { initialOf, number, text, unit, word } from "./fields.js";
import { merge } from "./records.js";

/** How many runs we choose when nobody has. */
const FEW = 5;

/** What the address tells of any view. @type {Fields<Pick<State, "view" | "epoch" | "chosen" | "tag" | "scale" | "zoom" | "unit" | "page">>} */
export const COMMON = {
  view: text("view"),
  epoch: number("epoch", null, Number.isFinite),
  chosen: { key: "runs", initial: null, write: (runs) => runs?.map(escape).join(","), read: (found) => found.split(",").filter(Boolean).map(unescape) },
  tag: text("tag"),
  scale: word("scale", [null, "shared", "own"]),
  zoom: number("zoom", 1, (zoom) => zoom > 0 && zoom <= 16),
  unit: unit("unit"),
  page: word("page", [null, "unit"]),
};

/** @param {string} name  of a run: commas part the runs */
const escape = (name) => name.replaceAll("%", "%25").replaceAll(",", "%2C");

/** @param {string} name */
const unescape = (name) => name.replaceAll("%2C", ",").replaceAll("%25", "%");

/** @type {State} */
export const INITIAL = {
  ...initialOf(COMMON),
  link: "loading", problem: "",
  runs: [], order: [], records: {}, problems: {}, kept: {}, tags: {}, series: {},
  automatic: [],
  playing: false, help: false,
};

/** Keeps the state, and tells who wants to know when it changed. @param {State} state  The first. */
export function createStore(state) {
  /** @type {() => void} */
  let onChange = () => {};
  return {
    get: () => state,
    /** @type {Dispatch} */
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
 * @template {State} S
 * @param {S} state
 * @param {Partial<S>} parts
 * @returns {S}
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

/** @param {string} run @param {string} tag */
export const seriesKey = (run, tag) => JSON.stringify([run, tag]);
