/** One image of a sheet. */

import { placeInSheet } from "./sheet.js";
import { sized } from "../../render/canvas.js";
import { html, useLayoutEffect, useRef } from "../../vendor/htm-preact-3.1.1.js";

/** Without a label it is decoration. @param {{bitmap: ImageBitmap | null, sample: Sample, point: number, label?: string}} props */
export function Thumb({ bitmap, sample, point, label }) {
  const canvas = useRef(/** @type {any} */ (null));
  const { width, height } = sample;
  useLayoutEffect(() => {
    if (!bitmap) return;
    const { x, y } = placeInSheet(sample, point);
    sized(canvas.current, sample).getContext("2d").drawImage(bitmap, x, y, width, height, 0, 0, width, height);
  }, [bitmap, point, width, height]);
  if (!bitmap) return html`<span class="no-thumb" role=${label && "img"} aria-label=${label}>${point}</span>`;
  return html`<canvas ref=${canvas} class=${width > 64 || height > 64 ? "soft" : undefined} role=${label && "img"} aria-label=${label} aria-hidden=${label ? undefined : "true"}></canvas>`;
}
