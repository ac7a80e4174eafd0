/** What the tests of the tab's pure functions share. */

import { readFileSync } from "node:fs";
import { parseNpy } from "../../lightning_viz/plugin/static/io/npy.js";

/** What NumPy, SciPy and our Python side say of the same input; test_node.py writes it. */
export const peers = process.env.PEERS ? JSON.parse(readFileSync(process.env.PEERS, "utf8")) : null;

/** Of a test that needs them: alone, node can't ask Python. */
export const beside = { skip: peers ? false : "run by test_node.py" };

/** The bytes of a file, alone in their buffer. */
export const bytesOf = (base64) => Uint8Array.from(Buffer.from(base64, "base64")).buffer;

export const values = (base64) => parseNpy(bytesOf(base64));

// What the pure functions take from the browser.
globalThis.window ??= { devicePixelRatio: 1 };
globalThis.ImageData ??= class {
  constructor(width, height) {
    Object.assign(this, { width, height, data: new Uint8ClampedArray(4 * width * height) });
  }
};

/** The pixels of an ImageData as Python has them, on a ground of white: rows of [red, green, blue]. */
export function picture({ data, width, height }) {
  const pixel = (at) => (data[at + 3] ? [...data.subarray(at, at + 3)] : [255, 255, 255]);
  return Array.from({ length: height }, (_, y) => Array.from({ length: width }, (_, x) => pixel(4 * (y * width + x))));
}

/** The largest difference between two nested lists of numbers of the same shape. */
export function apart(one, other) {
  const [flat, like] = [one.flat(Infinity), other.flat(Infinity)];
  if (flat.length !== like.length) return Infinity;
  return Math.max(0, ...flat.map((value, at) => Math.abs(value - like[at])));
}

let count = 0;

/** A record as the server sends one; `values`: the shapes by name. */
export function record({ values: shapes = {}, pictures = [], ...parts } = {}) {
  const seq = ++count;
  const item = (kind, name, shape) => ({ kind, name, shape, caption: "", unit: null, image_id: null, url: `${seq}/${name}` });
  const items = [
    ...pictures.map((shape, place) => item("picture", `picture ${place}`, shape)),
    ...Object.entries(shapes).map(([name, shape]) => item("values", name, shape)),
  ];
  return { seq, method: "filters", layer: "conv", epoch: 0, step: 0, batches: seq, probe: null, photographs: null, error: null, scalars: {}, meta: {}, items, ...parts };
}

/** A cache that has some things already, by URL. */
export const cacheOf = (contents) => ({ get: (url) => contents[url] ?? null, failure: () => null });

/** Numbers from 0 to 1 that look random, the same at each run. */
export function randomly(seed) {
  let state = seed;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}
