/** The images that pictures are made from: never change, so each is fetched when it is first looked at, and kept. */

import { useEffect, useState } from "../vendor/htm-preact-3.1.1.js";

/** @typedef {import("../model/types.js").Rec} Rec */
/** @typedef {{bitmap: ImageBitmap, height: number, width: number, rgba: Uint8ClampedArray, grey: Float32Array}} Photograph */

const BUDGET = 64 * 2 ** 20;
/** After that a store that had none is asked again: TensorBoard may have been away. */
const AGAIN = 30_000;

/** By hash and number, the same in all runs; in the order in which they came. @type {Map<string, Photograph>} */
const kept = new Map();
/** Stores that had none, by address. @type {Set<string>} */
const without = new Set();
/** @type {Set<string>} */
const running = new Set();
/** @type {Map<string, Set<() => void>>} */
const listeners = new Map();
let bytes = 0;

/**
 * @param {Rec | null} record  Its probe's.
 * @param {number} number
 * @returns {Photograph | null | undefined}  Undefined: on its way. Null: there is none.
 */
export function usePhotograph(record, number) {
  const [, came] = useState(0);
  const key = `${record?.probe}-${number}`;
  useEffect(() => {
    const again = () => came((count) => count + 1);
    const those = listeners.get(key) ?? new Set();
    listeners.set(key, those.add(again));
    return () => void those.delete(again);
  }, [key]);
  return photographOf(record, number);
}

/**
 * The same without waiting for it.
 * @param {Rec | null} record
 * @param {number} number
 * @returns {Photograph | null | undefined}
 */
export function photographOf(record, number) {
  if (!record?.photographs) return null;
  const key = `${record.probe}-${number}`;
  const found = kept.get(key);
  if (found) return found;
  if (without.has(record.photographs)) return null;
  if (!running.has(key)) start(record.photographs, number, key);
  return undefined;
}

/**
 * @param {string} store
 * @param {number} number
 * @param {string} key
 */
async function start(store, number, key) {
  running.add(key);
  try {
    const response = await fetch(store + number);
    if (!response.ok) throw new Error(String(response.status));
    const bitmap = await createImageBitmap(await response.blob());
    keep(key, bitmap);
  } catch {
    without.add(store);
    setTimeout(() => without.delete(store), AGAIN);
  }
  running.delete(key);
  for (const tell of [...(listeners.get(key) ?? [])]) tell();
}

/** @param {string} key @param {ImageBitmap} bitmap */
function keep(key, bitmap) {
  const { height, width } = bitmap;
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(width, height).getContext("2d"));
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const grey = Float32Array.from({ length: width * height }, (_, i) => (rgba[4 * i] + rgba[4 * i + 1] + rgba[4 * i + 2]) / 3);
  kept.set(key, { bitmap, height, width, rgba, grey });
  bytes += 12 * width * height;
  for (const [first, { height: h, width: w }] of kept) {
    if (bytes <= BUDGET || first === key) break;
    kept.delete(first);
    bytes -= 12 * h * w;
  }
}
