/** How much room layouts take up, and where their points stand in it: one scale for all runs and epochs. */

import { fetched, isSound, layoutOf } from "./model.js";

/** @typedef {import("../../io/blob_cache.js").Blobs} Blobs */
/** @typedef {import("./model.js").Column} Column */
/** @typedef {import("./procrustes.js").Motion} Motion */
/** @typedef {{left: number, right: number, top: number, bottom: number}} Extent */

/** @type {WeakMap<Values, {motion: Motion, extent: Extent}>} */
const extents = new WeakMap();

/** @type {(layout: Values, motion: Motion) => Extent} */
function extentOf(layout, motion) {
  const known = extents.get(layout);
  if (known?.motion === motion) return known.extent;
  const extent = { left: Infinity, right: -Infinity, top: Infinity, bottom: -Infinity };
  const { data } = layout;
  for (let at = 0; at + 1 < data.length; at += 2) {
    const x = motion.a * data[at] + motion.b * data[at + 1] + motion.x0;
    const y = motion.c * data[at] + motion.d * data[at + 1] + motion.y0;
    if (!Number.isFinite(x + y)) continue;
    [extent.left, extent.right] = [Math.min(extent.left, x), Math.max(extent.right, x)];
    [extent.top, extent.bottom] = [Math.min(extent.top, y), Math.max(extent.bottom, y)];
  }
  extents.set(layout, { motion, extent });
  return extent;
}

/** @type {(extents: Extent[]) => Extent} */
const around = (all) => ({
  left: Math.min(...all.map((one) => one.left)), right: Math.max(...all.map((one) => one.right)),
  top: Math.min(...all.map((one) => one.top)), bottom: Math.max(...all.map((one) => one.bottom)),
});

/**
 * What all epochs of all runs take up, by run: linked runs share theirs. `whole`: no layout is still on its way.
 * @param {Column[]} columns
 * @param {Blobs} blobs
 * @returns {{whole: boolean, extents: Extent[]}}
 */
export function roomNeeded(columns, blobs) {
  const sound = columns.map((column) => column.drawn.filter(isSound));
  const whole = sound.flat().every((record) => fetched(blobs, record) || blobs.failure(layoutOf(record)?.url ?? ""));
  const own = columns.map(({ motion }, place) => around(sound[place].flatMap((record) => fetched(blobs, record) ?? []).map((layout) => extentOf(layout, motion))));
  const shared = around(own.filter((extent, place) => columns[place].linked && extent.left <= extent.right));
  return { whole, extents: own.map((extent, place) => (columns[place].linked ? shared : extent)) };
}

/**
 * Where the points of a layout stand in a room, y upwards; points that are not finite stand nowhere.
 * @param {Values} layout
 * @param {Motion} motion
 * @param {Extent} extent
 * @param {number} scale  CSS pixels per unit
 * @param {{width: number, height: number}} room
 */
export function placesOf({ data }, motion, extent, scale, room) {
  const places = new Float32Array(data.length);
  const [x0, y0] = [(extent.left + extent.right) / 2, (extent.top + extent.bottom) / 2];
  for (let at = 0; at + 1 < data.length; at += 2) {
    const x = motion.a * data[at] + motion.b * data[at + 1] + motion.x0;
    const y = motion.c * data[at] + motion.d * data[at + 1] + motion.y0;
    const there = Number.isFinite(x + y);
    places[at] = there ? room.width / 2 + (x - x0) * scale : NaN;
    places[at + 1] = there ? room.height / 2 - (y - y0) * scale : NaN;
  }
  return places;
}
