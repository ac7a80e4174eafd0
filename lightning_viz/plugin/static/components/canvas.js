/** A canvas for one picture. */

import { showImage } from "../render/canvas.js";
import { html, useLayoutEffect, useMemo, useRef } from "../vendor/htm-preact-3.1.1.js";

/**
 * Keeps what it shows until there is something new. Without a label it is decoration; soft: enlarged or shrunk smoothly.
 * @param {{draw: (() => ImageData | ImageBitmap) | null, label?: string, soft?: boolean}} props  draw: another function
 *   when there is another picture; null while it is on its way
 */
export function Canvas({ draw, label, soft }) {
  const canvas = useRef(/** @type {any} */ (null));
  useLayoutEffect(() => {
    if (draw) showImage(canvas.current, draw());
  }, [draw]);
  return html`<canvas ref=${canvas} class=${soft ? "soft" : undefined} role=${label && "img"} aria-label=${label} aria-hidden=${label ? undefined : "true"}></canvas>`;
}

/** A picture that is always the same. @param {{bitmap: ImageBitmap | undefined, label?: string, soft?: boolean}} props */
export function Still({ bitmap, label, soft }) {
  const draw = useMemo(() => (bitmap ? () => bitmap : null), [bitmap]);
  return html`<${Canvas} ...${{ draw, label, soft }} />`;
}
