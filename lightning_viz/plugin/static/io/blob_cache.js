/** Fetched and decoded pictures and values: bounded in memory, nearest first, nothing asked twice. */

import { parseNpy } from "./npy.js";

const BUDGET = 96 * 2 ** 20;
const PARALLEL = 6;

/**
 * @param {Ref} ref
 * @param {AbortSignal} [signal]
 * @returns {Promise<{content: ImageBitmap | Values, bytes: number}>}
 */
export async function fetchBlob({ url, kind }, signal) {
  const response = await fetch(url, { signal });
  if (!response.ok) throw new Error((await response.json().catch(() => null))?.error ?? `TensorBoard answered ${response.status}`);
  if (kind === "values") {
    const values = parseNpy(await response.arrayBuffer());
    return { content: values, bytes: values.data.byteLength };
  }
  const bitmap = await createImageBitmap(await response.blob());
  return { content: bitmap, bytes: 4 * bitmap.width * bitmap.height };
}

export class Blobs {
  /** @param {() => void} onArrival  Called when something came that was needed, or failed to. */
  constructor(onArrival) {
    this.onArrival = onArrival;
    /** In the order of their last use: the first goes first. @type {Map<string, {content: ImageBitmap | Values, bytes: number}>} */
    this.kept = new Map();
    /** @type {Map<string, string>} */
    this.failures = new Map();
    /** @type {Map<string, AbortController>} */
    this.running = new Map();
    /** @type {Ref[]} */
    this.wanted = [];
    /** What is on the screen. @type {Set<string>} */
    this.needed = new Set();
    /** That, and what may be next. @type {Set<string>} */
    this.spared = new Set();
    this.bytes = 0;
  }

  /** @param {string} url @returns {ImageBitmap | Values | null}  Null: not there yet, or failed. */
  get(url) {
    const found = this.kept.get(url);
    if (!found) return null;
    this.kept.delete(url);
    this.kept.set(url, found);
    return found.content;
  }

  /** Why something will not come. @param {string} url */
  failure(url) {
    return this.failures.get(url) ?? null;
  }

  /**
   * Say what is on the screen and what may be next; all else that is under way is given up.
   * @param {Ref[]} needed
   * @param {Ref[]} neighbours  Nearest first.
   */
  want(needed, neighbours) {
    this.wanted = [...needed, ...neighbours];
    this.needed = new Set(needed.map((ref) => ref.url));
    this.spared = new Set(this.wanted.map((ref) => ref.url));
    for (const [url, controller] of this.running) if (!this.spared.has(url)) controller.abort();
    for (const url of this.failures.keys()) if (!this.spared.has(url)) this.failures.delete(url); // ask again next time
    this.next();
  }

  next() {
    for (const ref of this.wanted) {
      if (this.running.size >= PARALLEL) return;
      const { url } = ref;
      if (this.kept.has(url) || this.running.has(url) || this.failures.has(url)) continue;
      if (!this.needed.has(url) && !this.shrink()) return;
      this.start(ref);
    }
  }

  /** @param {Ref} ref */
  async start(ref) {
    const controller = new AbortController();
    this.running.set(ref.url, controller);
    try {
      const blob = await fetchBlob(ref, controller.signal);
      this.kept.set(ref.url, blob);
      this.bytes += blob.bytes;
      this.shrink();
    } catch (error) {
      if (!controller.signal.aborted) this.failures.set(ref.url, String(error instanceof Error ? error.message : error));
    }
    this.running.delete(ref.url);
    if (this.needed.has(ref.url)) this.onArrival();
    this.next();
  }

  /** Forget what was not used for longest, but nothing that is wanted. Returns whether there is room again. */
  shrink() {
    for (const [url, { content, bytes }] of this.kept) {
      if (this.bytes <= BUDGET) break;
      if (this.spared.has(url)) continue;
      if (content instanceof ImageBitmap) content.close();
      this.kept.delete(url);
      this.bytes -= bytes;
    }
    return this.bytes <= BUDGET;
  }
}
