/**
 * The images that pictures are made from, and sheets of thumbnails. They never change: each is fetched when it is first
 * looked at, from the first run that has it, and kept by its hash and number, the same in all runs.
 */

import { useEffect, useState } from "../vendor/htm-preact-3.1.1.js";
import { fetchBlob } from "./blob_cache.js";

/** @typedef {{bitmap: ImageBitmap, height: number, width: number}} Kept */
/** @typedef {Kept & {rgba: Uint8ClampedArray, grey: Float32Array}} Photograph */

const BUDGET = 64 * 2 ** 20;
/** After that a store that had none is asked again: TensorBoard may have been away. */
const AGAIN = 30_000;

/** In the order in which they came. @type {Map<string, {image: Kept, bytes: number}>} */
const kept = new Map();
/** Stores that had none, by address: why. @type {Map<string, string>} */
const failures = new Map();
/** @type {Set<string>} */
const running = new Set();
/** Who looks at an image. @type {Map<string, Set<() => void>>} */
const lookers = new Map();
let bytes = 0;

/** Draw again when an image comes, or will not. @param {string} key */
function useArrival(key) {
  const [, came] = useState(0);
  useEffect(() => {
    const again = () => came((count) => count + 1);
    const those = lookers.get(key) ?? new Set();
    lookers.set(key, those.add(again));
    return () => {
      those.delete(again);
      if (!those.size) lookers.delete(key);
    };
  }, [key]);
}

/**
 * @template {Kept} T
 * @param {string} hash
 * @param {number} number
 * @param {string[]} stores  Addresses of those that may have it; the number follows.
 * @param {(bitmap: ImageBitmap) => T} make
 * @param {number} size  Bytes per pixel of what is made.
 * @returns {T | null | undefined}  Undefined: on its way. Null: none has it.
 */
function imageOf(hash, number, stores, make, size) {
  const key = `${hash}-${number}`;
  const found = kept.get(key);
  if (found) return /** @type {T} */ (found.image);
  const store = stores.find((one) => !failures.has(one));
  if (store === undefined) return null;
  if (!running.has(key)) start(key, store, number, make, size);
  return undefined;
}

/** @type {(key: string, store: string, number: number, make: (bitmap: ImageBitmap) => Kept, size: number) => Promise<void>} */
async function start(key, store, number, make, size) {
  running.add(key);
  try {
    const { content } = await fetchBlob({ url: store + number, kind: "picture" });
    const image = make(/** @type {ImageBitmap} */ (content));
    keep(key, image, size * image.width * image.height);
  } catch (error) {
    failures.set(store, String(error instanceof Error ? error.message : error));
    setTimeout(() => failures.delete(store), AGAIN);
  }
  running.delete(key);
  for (const tell of [...(lookers.get(key) ?? [])]) tell();
}

/** What nobody looks at makes room. @param {string} key @param {Kept} image @param {number} size */
function keep(key, image, size) {
  kept.set(key, { image, bytes: size });
  bytes += size;
  for (const [other, { bytes: less }] of kept) {
    if (bytes <= BUDGET) break;
    if (other === key || lookers.has(other)) continue;
    kept.delete(other);
    bytes -= less;
  }
}

/**
 * @param {Rec | null} record  Its probe's.
 * @param {number} number
 * @returns {Photograph | null | undefined}  Undefined: on its way. Null: there is none.
 */
export function usePhotograph(record, number) {
  useArrival(`${record?.probe}-${number}`);
  return photographOf(record, number);
}

/**
 * The same without waiting for it.
 * @param {Rec | null} record
 * @param {number} number
 */
export const photographOf = (record, number) => (record?.photographs ? imageOf(`${record.probe}`, number, [record.photographs], photograph, 12) : null);

/** @param {ImageBitmap} bitmap @returns {Photograph} */
function photograph(bitmap) {
  const { height, width } = bitmap;
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(width, height).getContext("2d"));
  context.drawImage(bitmap, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  const grey = Float32Array.from({ length: width * height }, (_, i) => (rgba[4 * i] + rgba[4 * i + 1] + rgba[4 * i + 2]) / 3);
  return { bitmap, height, width, rgba, grey };
}

/**
 * The first image of a hash alone, or in words why no store has it; neither while it is on its way.
 * @param {string} hash
 * @param {string[]} stores
 * @returns {{bitmap: ImageBitmap | null, problem: string}}
 */
export function useFirstImage(hash, stores) {
  useArrival(`${hash}-0`);
  const found = hash ? imageOf(hash, 0, stores, (bitmap) => ({ bitmap, height: bitmap.height, width: bitmap.width }), 4) : null;
  return { bitmap: found?.bitmap ?? null, problem: found === null ? (failures.get(stores[0]) ?? "") : "" };
}
