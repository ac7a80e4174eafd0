/**
 * Maps as pixels, by the same rules as `lightning_viz/render`: in a palette, over a photograph, or signed around
 * mid-grey.
 */

import { GREY, classColour, linear, markOf, packed, palette } from "./palettes.js";

/** @typedef {import("./palettes.js").Range} Range */
/** @typedef {import("./palettes.js").Palette} Palette */
/** @typedef {{data: Float32Array, height: number, width: number}} Grid  One map. */
/** @typedef {{top: number, left: number, height: number, width: number}} Box  In pixels of the image. */

/** What lies at some places on the first axes. @param {Values} values @param {...number} places */
export function partOf({ shape, data }, ...places) {
  const number = places.reduce((sum, place, axis) => sum * shape[axis] + place, 0);
  const size = shape.slice(places.length).reduce((product, length) => product * length, 1);
  return data.subarray(number * size, (number + 1) * size);
}

/** A map of (N, ..., h, w). @type {(values: Values, ...places: number[]) => Grid} */
export const gridAt = (values, ...places) => ({ data: partOf(values, ...places), height: values.shape.at(-2) ?? 0, width: values.shape.at(-1) ?? 0 });

/** @param {Float32Array} data */
export function isZero(data) {
  for (const value of data) if (value !== 0) return false;
  return true;
}

/** The largest finite absolute value. @param {Float32Array} data */
export function largest(data) {
  let most = 0;
  for (const value of data) {
    const size = Math.abs(value);
    if (size > most && size !== Infinity) most = size;
  }
  return most;
}

/** @type {Map<string, {image: ImageData, pixels: Uint32Array}>} */
const papers = new Map();

/**
 * An image to draw on. There is one per size: what is drawn must be put on a canvas before the next is drawn.
 * @param {number} height
 * @param {number} width
 */
function paper(height, width) {
  const key = `${height} ${width}`;
  let found = papers.get(key);
  if (!found) {
    const image = new ImageData(width, height);
    found = { image, pixels: new Uint32Array(image.data.buffer) };
    if (papers.size >= 32) papers.clear();
    papers.set(key, found);
  }
  return found;
}

/** @type {Map<Palette, Uint32Array>} */
const tables = new Map();

/** A palette as pixels. @param {Palette} colours */
function tableOf(colours) {
  const known = tables.get(colours);
  if (known) return known;
  const table = Uint32Array.from(palette(colours), ([red, green, blue]) => packed(red, green, blue));
  tables.set(colours, table);
  return table;
}

/**
 * One pixel per value; a range of nothing looks like nothing, not like half.
 * @param {Grid} map
 * @param {Range} range
 * @param {Palette} colours
 * @returns {ImageData} until the next is drawn
 */
export function drawMap({ data, height, width }, range, colours) {
  const { image, pixels } = paper(height, width);
  const table = tableOf(colours);
  const toByte = linear(range, colours === "diverging" ? GREY : 0);
  for (let i = 0; i < pixels.length; i++) {
    const value = data[i];
    pixels[i] = value - value === 0 ? table[toByte(value)] : markPixel(value);
  }
  return image;
}

/**
 * One pixel per value, which is the number of a class.
 * @param {Grid} map
 * @returns {ImageData} until the next is drawn
 */
export function drawClasses({ data, height, width }) {
  const { image, pixels } = paper(height, width);
  for (let i = 0; i < pixels.length; i++) {
    const [red, green, blue] = classColour(data[i]);
    pixels[i] = packed(red, green, blue);
  }
  return image;
}

/** @param {number} value  not finite */
function markPixel(value) {
  const [red, green, blue] = /** @type {number[]} */ (markOf(value));
  return packed(red, green, blue);
}

/**
 * A map over a photograph in grey, enlarged to it; colour is the map's alone.
 * @param {Grid} map
 * @param {Range} range
 * @param {{grey: Float32Array, height: number, width: number}} photograph
 * @param {number} opacity
 * @param {Palette} colours
 * @returns {ImageData} until the next is drawn
 */
export function drawOverlay(map, range, { grey, height, width }, opacity, colours) {
  const { data } = resize(map, height, width);
  const { image, pixels } = paper(height, width);
  const table = shares(colours, opacity);
  const toByte = linear(range, 0);
  const rest = 1 - opacity;
  for (let i = 0; i < pixels.length; i++) {
    const value = data[i];
    if (value - value !== 0) {
      pixels[i] = markPixel(value);
      continue;
    }
    const below = rest * grey[i];
    const at = 3 * toByte(value);
    pixels[i] = packed(below + table[at], below + table[at + 1], below + table[at + 2]);
  }
  return image;
}

let shared = { key: "", table: new Float64Array() };

/** What a palette adds to a pixel, and a half to round. @param {Palette} colours @param {number} opacity */
function shares(colours, opacity) {
  const key = `${colours} ${opacity}`;
  if (shared.key !== key) shared = { key, table: Float64Array.from(palette(colours).flat(), (colour) => opacity * colour + 0.5) };
  return shared.table;
}

/**
 * Signed values per channel, zero is mid-grey: three channels in colour, any other number as their mean in grey.
 * @param {Values} values  (N, C, bh, bw)
 * @param {number} number  which of N
 * @param {Box} box  Where they lie in the image; all else is zero.
 * @param {number} bound  The value of full colour.
 * @param {Box} frame  The part of the image to draw.
 * @returns {ImageData} until the next is drawn
 */
export function drawSigned(values, number, box, bound, frame) {
  const { image, pixels } = paper(frame.height, frame.width);
  pixels.fill(packed(GREY, GREY, GREY));
  const [red, green, blue] = coloursOf(values, number);
  const toByte = linear({ low: -bound, high: bound });
  const [top, bottom] = [Math.max(box.top, frame.top), Math.min(box.top + box.height, frame.top + frame.height)];
  const [left, right] = [Math.max(box.left, frame.left), Math.min(box.left + box.width, frame.left + frame.width)];
  for (let y = top; y < bottom; y++) {
    const from = (y - box.top) * box.width - box.left;
    const to = (y - frame.top) * frame.width - frame.left;
    for (let x = left; x < right; x++) {
      const at = from + x;
      const r = red[at];
      const g = green[at];
      const b = blue[at];
      const sum = r + g + b;
      // Of several that are not finite the last counts; a sum may be infinite though its parts are not.
      if (sum - sum === 0) pixels[to + x] = packed(toByte(r), toByte(g), toByte(b));
      else {
        const bad = b - b !== 0 ? b : g - g !== 0 ? g : r;
        pixels[to + x] = bad - bad === 0 ? packed(toByte(r), toByte(g), toByte(b)) : markPixel(bad);
      }
    }
  }
  return image;
}

/**
 * @param {Values} values  (N, C, h, w)
 * @param {number} number
 * @returns {Float32Array[]} red, green, blue
 */
function coloursOf(values, number) {
  const channels = Array.from({ length: values.shape[1] }, (_, channel) => gridAt(values, number, channel).data);
  if (channels.length === 3) return channels;
  if (channels.length === 1) return [channels[0], channels[0], channels[0]];
  const mean = channels[0].map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);
  return [mean, mean, mean];
}

/**
 * Enlarge bilinearly (align_corners=false), in float32 like the Python side.
 * @param {Grid} map
 * @param {number} height
 * @param {number} width
 * @returns {Grid}
 */
export function resize(map, height, width) {
  const [rows, columns] = [blends(map.height, height), blends(map.width, width)];
  const before = map.width;
  const single = Math.fround;
  const tall = new Float32Array(height * before);
  for (let y = 0; y < height; y++) {
    const [near, far] = [rows.near[y] * before, rows.far[y] * before];
    for (let x = 0; x < before; x++) {
      tall[y * before + x] = single(map.data[near + x] * rows.rest[y]) + single(map.data[far + x] * rows.share[y]);
    }
  }
  const data = new Float32Array(height * width);
  for (let y = 0; y < height; y++) {
    const row = y * before;
    for (let x = 0; x < width; x++) {
      data[y * width + x] = single(tall[row + columns.near[x]] * columns.rest[x]) + single(tall[row + columns.far[x]] * columns.share[x]);
    }
  }
  return { data, height, width };
}

/** @typedef {{near: Int32Array, far: Int32Array, share: Float32Array, rest: Float32Array}} Blend */

/** @type {Map<string, Blend>} */
const blended = new Map();

/**
 * Which two values each place lies between, and how much of each it gets.
 * @param {number} before
 * @param {number} after
 * @returns {Blend}
 */
function blends(before, after) {
  const key = `${before} ${after}`;
  const known = blended.get(key);
  if (known) return known;
  const blend = { near: new Int32Array(after), far: new Int32Array(after), share: new Float32Array(after), rest: new Float32Array(after) };
  for (let place = 0; place < after; place++) {
    const at = Math.max(0, Math.min(before - 1, ((place + 0.5) * before) / after - 0.5));
    blend.near[place] = Math.floor(at);
    blend.far[place] = Math.min(blend.near[place] + 1, before - 1);
    blend.share[place] = at - blend.near[place];
    blend.rest[place] = 1 - blend.share[place];
  }
  blended.set(key, blend);
  return blend;
}
