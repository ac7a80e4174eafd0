/** One synthesised image, enlarged; or a place that stays empty, and says why. */

import { useVisible } from "../../components/use_visible.js";
import { freshCanvas, pixelRatio } from "../../render/canvas.js";
import { putTile } from "../../render/tile.js";
import { html, useLayoutEffect, useRef } from "../../vendor/htm-preact-3.1.1.js";

/** @param {{width: number, height: number}} size */
export const sized = ({ width, height }) => `width:${width}px;height:${height}px`;

/**
 * Keeps what it shows until there is something new.
 * @param {{tile: import("../../render/tile.js").Tile | null, size: {width: number, height: number}, label: string}} props
 */
export function Tile({ tile, size, label }) {
  const canvas = useRef(/** @type {any} */ (null));
  const visible = useVisible(canvas);
  const { width, height } = size;
  useLayoutEffect(() => {
    if (tile && visible) putTile(freshCanvas(canvas.current, size), tile, { left: 0, top: 0, width, height }, true);
  }, [tile?.image, tile?.x, tile?.y, width, height, visible, pixelRatio()]);
  return html`<canvas ref=${canvas} class="synthesis-image" style=${sized(size)} role="img" aria-label=${label}></canvas>`;
}

/** @param {{size: {width: number, height: number}, children?: unknown}} props */
export const NoTile = ({ size, children }) => html`<div class="synthesis-none" style=${sized(size)}><span>${children}</span></div>`;
