/** Sheets: the thumbnails of all points of a sample in one image. They never change: each is fetched once per hash. */

import { useEffect, useState } from "../vendor/htm-preact-3.1.1.js";
import { probeImages } from "./api.js";

/** @typedef {import("../model/types.js").Sample} Sample */

/** How many stay: there are hardly ever more samples than one. */
const MOST = 4;
/** After that a store that had none is asked again: TensorBoard may have been away. */
const AGAIN = 30_000;

/** By hash, the same in all runs. @type {Map<string, ImageBitmap>} */
const kept = new Map();
/** By run and hash: why there is none. @type {Map<string, string>} */
const failures = new Map();
/** @type {Set<string>} */
const running = new Set();
/** @type {Set<() => void>} */
const listeners = new Set();

/** Where a point's image lies in its sheet. @type {(sample: Sample, point: number) => {x: number, y: number}} */
export const placeInSheet = ({ columns, width, height }, point) => ({ x: (point % columns) * width, y: Math.floor(point / columns) * height });

/**
 * The sheet of a sample, or in words why there is none; null while it is on its way.
 * @param {Sample | null} sample
 * @param {string[]} runs  That have it, as far as is known: the first that does gives it.
 * @returns {{bitmap: ImageBitmap | null, problem: string}}
 */
export function useSheet(sample, runs) {
  const [, came] = useState(0);
  useEffect(() => {
    const again = () => came((count) => count + 1);
    listeners.add(again);
    return () => void listeners.delete(again);
  }, []);
  if (!sample) return { bitmap: null, problem: "" };
  if (!sample.hash) return { bitmap: null, problem: "This record does not say which images its points are." };
  if (!sample.width || !sample.height || !sample.columns) return { bitmap: null, problem: "This record has no thumbnails." };
  const { hash } = sample;
  const bitmap = kept.get(hash) ?? null;
  if (bitmap) return { bitmap, problem: smaller(bitmap, sample) ? "The sheet of thumbnails is smaller than its record says." : "" };
  const ask = runs.find((run) => !failures.has(`${hash} ${run}`));
  if (ask === undefined) return { bitmap: null, problem: failures.get(`${hash} ${runs[0]}`) ?? "" };
  if (!running.has(hash)) fetchSheet(ask, hash);
  return { bitmap: null, problem: "" };
}

/** @type {(bitmap: ImageBitmap, sample: Sample) => boolean} */
const smaller = (bitmap, { width, height, columns, count }) => bitmap.width < columns * width || bitmap.height < Math.ceil(count / columns) * height;

/**
 * @param {string} run
 * @param {string} hash
 */
async function fetchSheet(run, hash) {
  running.add(hash);
  const key = `${hash} ${run}`;
  try {
    const response = await fetch(`${probeImages(run, hash)}0`);
    if (!response.ok) throw new Error((await response.json().catch(() => null))?.error ?? `TensorBoard answered ${response.status}.`);
    kept.set(hash, await createImageBitmap(await response.blob()));
    for (const old of [...kept.keys()].slice(0, -MOST)) kept.delete(old);
  } catch (error) {
    failures.set(key, String(error instanceof Error ? error.message : error));
    setTimeout(() => failures.delete(key), AGAIN);
  }
  running.delete(hash);
  for (const tell of [...listeners]) tell();
}
