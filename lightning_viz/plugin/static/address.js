/** The state in the address bar, and back. What is as usual is left out. */

import { OPACITY } from "./state.js";

/** @typedef {import("./types.js").State} State */

/**
 * @param {State} state
 * @returns {Record<string, string>}
 */
export function addressOf(state) {
  /** @type {Record<string, string>} */
  const values = {};
  if (state.view !== null) values.view = state.view;
  if (state.epoch !== null) values.epoch = String(state.epoch);
  if (state.chosen !== null) values.runs = state.chosen.map(escape).join(",");
  if (state.tag !== null) values.tag = state.tag;
  if (state.scale !== null) values.scale = state.scale;
  if (state.zoom !== 1) values.zoom = String(state.zoom);
  if (state.unit !== null) values.unit = `${state.unit.unit},${state.unit.layer}`;
  if (state.image !== 0) values.image = String(state.image);
  if (state.opacity !== OPACITY) values.opacity = String(state.opacity);
  if (state.page !== null && state.unit !== null) values.page = state.page;
  if (state.strip !== "projection") values.strip = state.strip;
  return values;
}

/**
 * @param {Record<string, string>} values  from anyone: what makes no sense is left out
 * @returns {Partial<State>}
 */
export function stateOf(values) {
  const epoch = Number(values.epoch ?? NaN);
  const zoom = Number(values.zoom ?? NaN);
  const opacity = Number(values.opacity || NaN);
  const [, unit, layer] = /^(\d+),(.*)$/.exec(values.unit ?? "") ?? [];
  return {
    view: values.view ?? null,
    epoch: Number.isFinite(epoch) ? epoch : null,
    chosen: values.runs === undefined ? null : values.runs.split(",").filter(Boolean).map(unescape),
    tag: values.tag ?? null,
    scale: values.scale === "shared" || values.scale === "own" ? values.scale : null,
    zoom: zoom > 0 && zoom <= 16 ? zoom : 1,
    unit: unit === undefined ? null : { unit: Number(unit), layer },
    image: /^\d{1,6}$/.test(values.image ?? "") ? Number(values.image) : 0,
    page: values.page === "unit" && unit !== undefined ? "unit" : null,
    strip: values.strip === "patch" || values.strip === "both" ? values.strip : "projection",
    opacity: opacity >= 0 && opacity <= 1 ? opacity : OPACITY,
  };
}

/** @param {string} name  of a run: commas part the runs */
const escape = (name) => name.replaceAll("%", "%25").replaceAll(",", "%2C");

/** @param {string} text */
const unescape = (text) => text.replaceAll("%2C", ",").replaceAll("%25", "%");
