/** What can be chosen in an embedding. */

import { text, whole, word } from "../../model/fields.js";

/** @typedef {"points" | "images" | "neighbours"} Mode  How it is shown. */
/** @typedef {{sample: string, points: number[]}} Selection  Ascending, of the sample of that hash; "": the first run's. */
/**
 * @typedef {Object} Own
 * @property {Mode} embeddingMode
 * @property {boolean} grid  Whether images are snapped to a grid.
 * @property {string | null} layer  Null: the first.
 * @property {number | null} emphasis  A class; the points of others are dimmed.
 * @property {Selection | null} selected
 *
 * @typedef {State & Own} OwnState
 */

/** A longer list of points is not written: browsers and mail programs cut long addresses. */
const LONGEST = 1500;
/** Points that an address can name. */
const MOST = 100_000;

/** @type {Fields<Own>} */
export const state = {
  embeddingMode: word("look", ["points", "images", "neighbours"]),
  grid: { key: "grid", initial: false, write: () => "1", read: (found) => found === "1" },
  layer: text("layer"),
  emphasis: { ...whole("class", null), escape: true },
  selected: { key: "points", initial: null, write: pointsOf, read: selectionOf, escape: true },
};

/** @param {Selection | null} selected */
function pointsOf(selected) {
  const ranges = selected ? rangesOf(selected.points) : "";
  return selected && ranges && ranges.length < LONGEST ? `${selected.sample}:${ranges}` : undefined;
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

/** @param {string} found  the hash of a sample (without it, the first run's), a colon, ranges */
function selectionOf(found) {
  const [, sample = "", ranges = ""] = /^(?:([0-9a-f]{16})?:)?([\d,-]+)$/.exec(found) ?? [];
  /** @type {Set<number>} */
  const points = new Set();
  for (const range of ranges.split(",")) {
    const [, from, to = from] = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(range) ?? [];
    for (let point = Number(from); point <= Number(to) && points.size < MOST; point++) points.add(point);
  }
  return points.size ? { sample, points: [...points].sort((a, b) => a - b) } : undefined;
}
