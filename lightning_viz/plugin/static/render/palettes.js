/** Numbers to colours, by the same rules as `lightning_viz/render`, to the last bit. */

/** @typedef {{low: number, high: number}} Range */
/** @typedef {"grey" | "heat" | "diverging"} Palette */

/** What zero, or a range of nothing, looks like in grey. */
export const GREY = 128;

/** Anchors at equal distances, dark to light; "diverging" has its middle (zero) in white. @type {Record<Palette, string>} */
const ANCHORS = {
  grey: "000000 ffffff",
  heat: "000004 210c4a 57106e 8a226a bc3754 e45a31 f98e09 f9cb35 fcffa4",
  diverging: "053061 2166ac 4393c3 92c5de f7f7f7 f4a582 d6604d b2182b 67001f",
};

/** A code of six hexadecimal digits as red, green, blue. @param {string} code */
const channelsOf = (code) => [0, 2, 4].map((at) => parseInt(code.slice(at, at + 2), 16));

/** Of the classes 0, 1, ...; after the last they begin again. As in `render/palettes.py`. */
const CLASSES =
  "0072b2 e69f00 009e73 cc79a7 d55e00 56b4e9 e8dc3c 84303c 8478fc 605400 48486c b4cca8 906c48 fcb4cc 0048c0 9c9c54 006c60 846c90 3cd8f0 f07884"
    .split(" ").map(channelsOf);

const NO_CLASS = channelsOf("9a9a9a");

/** Red, green and blue of a class; grey for what has none. @param {number} number */
export const classColour = (number) => (number >= 0 ? CLASSES[number % CLASSES.length] : NO_CLASS);

const NAN = [255, 0, 255];
const PLUS_INFINITY = [255, 230, 0];
const MINUS_INFINITY = [0, 230, 255];

/** The colour of a value that is not finite; null for the others. @param {number} value */
export function markOf(value) {
  if (value - value === 0) return null;
  return Number.isNaN(value) ? NAN : value > 0 ? PLUS_INFINITY : MINUS_INFINITY;
}

/** An opaque pixel as an ImageData has it. @param {number} red @param {number} green @param {number} blue */
export const packed = (red, green, blue) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;

/** @type {Map<Palette, number[][]>} */
const palettes = new Map();

/**
 * The 256 colours of a palette.
 * @param {Palette} name
 * @returns {number[][]} red, green, blue
 */
export function palette(name) {
  const known = palettes.get(name);
  if (known) return known;
  const anchors = ANCHORS[name].split(" ").map(channelsOf);
  const colours = Array.from({ length: 256 }, (_, step) => {
    const place = (step * (anchors.length - 1)) / 255;
    const below = Math.min(Math.floor(place), anchors.length - 2);
    return anchors[below].map((from, channel) => Math.round(from + (anchors[below + 1][channel] - from) * (place - below)));
  });
  palettes.set(name, colours);
  return colours;
}

/** A palette from left to right, for a legend. @param {Palette} name */
export const gradient = (name) => `linear-gradient(to right, ${ANCHORS[name].split(" ").map((code) => `#${code}`).join(", ")})`;

/**
 * low..high to 0..255, clipped. In halves and in float32, like the Python side.
 * @param {Range} range
 * @param {number} [flat]  What a range of nothing becomes.
 * @returns {(value: number) => number}
 */
export function linear({ low, high }, flat = GREY) {
  const single = Math.fround;
  const start = single(0.5 * single(low));
  const span = single(single(0.5 * single(high)) - start);
  if (!(span > 0)) return () => flat;
  return (value) => {
    const part = single(single(single(0.5 * value) - start) / span);
    return Math.max(0, Math.min(255, Math.floor(single(single(part * 255) + 0.5))));
  };
}

/**
 * The smallest and largest finite value; 0 and 0 where none is.
 * @param {Float32Array} data
 * @returns {Range}
 */
export function finiteRange(data) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of data) {
    if (value < low && value !== -Infinity) low = value;
    if (value > high && value !== Infinity) high = value;
  }
  return low <= high ? { low, high } : { low: 0, high: 0 };
}
