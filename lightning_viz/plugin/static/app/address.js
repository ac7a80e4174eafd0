/** The state in the address bar, and back. What is as usual is left out. The names in it never change: links last. */

import { OPACITY } from "../model/state.js";

/** @typedef {import("../model/types.js").State} State */

/** A longer list of points is not written: browsers and mail programs cut long addresses. */
const LONGEST = 1500;
/** Points that an address can name. */
const MOST = 100_000;

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
  if (state.filmContent !== "projection") values.strip = state.filmContent;
  if (state.embeddingMode !== "points") values.look = state.embeddingMode;
  if (state.grid) values.grid = "1";
  if (state.layer !== null) values.layer = state.layer;
  if (state.emphasis !== null) values.class = String(state.emphasis);
  const points = state.selected ? rangesOf(state.selected.points) : "";
  if (state.selected && points && points.length < LONGEST) values.points = `${state.selected.sample}:${points}`;
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
    filmContent: values.strip === "patch" || values.strip === "both" ? values.strip : "projection",
    embeddingMode: values.look === "images" || values.look === "neighbours" ? values.look : "points",
    grid: values.grid === "1",
    layer: values.layer ?? null,
    emphasis: /^\d{1,6}$/.test(values.class ?? "") ? Number(values.class) : null,
    selected: selectionOf(values.points ?? ""),
    opacity: opacity >= 0 && opacity <= 1 ? opacity : OPACITY,
  };
}

/** "3,7-9" of 3, 7, 8, 9. @param {number[]} points  ascending */
function rangesOf(points) {
  /** @type {[number, number][]} */
  const ranges = [];
  for (const point of points) {
    const last = ranges.at(-1);
    if (last && point === last[1] + 1) last[1] = point;
    else ranges.push([point, point]);
  }
  return ranges.map(([from, to]) => (from === to ? from : `${from}-${to}`)).join(",");
}

/** @param {string} text  the hash of a sample (without it, the first run's), a colon, ranges */
function selectionOf(text) {
  const [, sample = "", ranges = ""] = /^(?:([0-9a-f]{16})?:)?([\d,-]+)$/.exec(text) ?? [];
  /** @type {Set<number>} */
  const points = new Set();
  for (const range of ranges.split(",")) {
    const [, from, to = from] = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(range) ?? [];
    for (let point = Number(from); point <= Number(to) && points.size < MOST; point++) points.add(point);
  }
  return points.size ? { sample, points: [...points].sort((a, b) => a - b) } : null;
}

/** @param {string} name  of a run: commas part the runs */
const escape = (name) => name.replaceAll("%", "%25").replaceAll(",", "%2C");

/** @param {string} text */
const unescape = (text) => text.replaceAll("%2C", ",").replaceAll("%25", "%");
