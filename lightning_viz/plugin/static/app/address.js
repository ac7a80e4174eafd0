/** The state in the address bar, and back. What is as at the beginning is left out. */

import { COMMON } from "../model/state.js";
import { viewFields } from "./views.js";

/** @type {[string, Field][]} */
const FIELDS = Object.entries({ ...COMMON, ...viewFields });

/** @param {State} state @returns {Record<string, string>} */
export function addressOf(state) {
  /** @type {Record<string, string>} */
  const values = {};
  for (const [name, { key, initial, write }] of FIELDS) {
    const value = state[/** @type {keyof State} */ (name)];
    const text = value === initial ? undefined : write?.(value);
    if (key !== undefined && text !== undefined) values[key] = text;
  }
  return values;
}

/**
 * @param {Record<string, string>} values  from anyone: what makes no sense is left out
 * @returns {Partial<State>}
 */
export function stateOf(values) {
  /** @type {Record<string, unknown>} */
  const state = {};
  for (const [name, { key, initial, read }] of FIELDS) {
    if (key !== undefined) state[name] = (key in values ? read?.(values[key]) : undefined) ?? initial;
  }
  return state.unit ? state : { ...state, page: null };
}
