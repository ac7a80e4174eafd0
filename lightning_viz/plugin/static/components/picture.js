/** One picture, each of its pixels a sharp square, as large as its room allows; zoomed in, it is moved inside a window. */

import { pixelRatio, showImage } from "../render/canvas.js";
import { html, useLayoutEffect, useRef } from "../vendor/htm-preact-3.1.1.js";
import { placeIn } from "./use_pointer.js";

/** @typedef {{width: number, height: number}} Size */

/**
 * How many CSS pixels a pixel of the picture gets: whole device pixels, so that all look equally large.
 * @param {Size} picture
 * @param {Size} room
 * @param {number} zoom
 */
export function enlargement(picture, room, zoom) {
  const ratio = pixelRatio();
  const fit = Math.floor(Math.min(room.width / picture.width, room.height / picture.height) * ratio);
  return Math.max(1, Math.floor(Math.max(1, fit) * zoom)) / ratio;
}

/**
 * @param {Object} props
 * @param {ImageData | ImageBitmap | null} props.image  Null while it is on its way: what was there stays.
 * @param {Size} props.size  in pixels of the picture
 * @param {Size} props.room
 * @param {number} props.zoom
 * @param {string} props.label  for those who can't see it
 * @param {(context: CanvasRenderingContext2D) => void} [props.finish]  Draws over it, or wipes something out.
 * @param {(point: {x: number, y: number} | null) => void} [props.onPoint]  Null: the pointer left.
 * @param {(point: {x: number, y: number}) => void} [props.onPick]
 * @param {(point: {x: number, y: number}) => void} [props.onOpen]  By a double click.
 * @param {{left: number, top: number, width: number, height: number} | null} [props.box]  Outlined.
 */
export function Picture({ image, size, room, zoom, label, finish, onPoint, onPick, onOpen, box }) {
  const canvas = useRef(/** @type {any} */ (null));
  const scale = enlargement(size, room, zoom);
  const [width, height] = [size.width * scale, size.height * scale];
  const frame = { width: Math.min(width, room.width), height: Math.min(height, room.height) };
  const scrolls = width > frame.width + 0.5 || height > frame.height + 0.5;

  useLayoutEffect(() => {
    if (!image) return;
    const context = showImage(canvas.current, image);
    finish?.(context);
  }, [image]);

  /** @param {MouseEvent} event */
  const point = (event) => {
    const { x, y } = placeIn(event);
    return { x: Math.floor(x / scale), y: Math.floor(y / scale) };
  };

  return html`<div
    class=${image ? "picture-window" : "picture-window waiting"}
    style=${`width:${frame.width}px;height:${frame.height}px`}
    tabindex=${scrolls ? 0 : undefined}
    onScroll=${panTogether}
  >
    <div class="picture-sheet" style=${`width:${width}px;height:${height}px`}>
      <canvas
        ref=${canvas} role="img" aria-label=${label}
        onPointerMove=${onPoint && ((/** @type {MouseEvent} */ event) => onPoint(point(event)))}
        onPointerLeave=${onPoint && (() => onPoint(null))}
        onClick=${onPick && ((/** @type {MouseEvent} */ event) => onPick(point(event)))}
        onDblClick=${onOpen && ((/** @type {MouseEvent} */ event) => onOpen(point(event)))}
      ></canvas>
      ${box && html`<div class="unit-box" style=${`left:${box.left * scale}px;top:${box.top * scale}px;width:${box.width * scale}px;height:${box.height * scale}px`}></div>`}
    </div>
  </div>`;
}

/** Moving one picture of a row moves all of it to the same place. @param {Event} event */
function panTogether(event) {
  const one = /** @type {HTMLElement} */ (event.currentTarget);
  if (!one.matches(":hover, :focus")) return; // it was moved by another one
  const x = one.scrollLeft / Math.max(1, one.scrollWidth - one.clientWidth);
  const y = one.scrollTop / Math.max(1, one.scrollHeight - one.clientHeight);
  for (const other of one.closest(".comparison-row")?.querySelectorAll(".picture-window") ?? []) {
    if (other !== one) other.scrollTo(x * (other.scrollWidth - other.clientWidth), y * (other.scrollHeight - other.clientHeight));
  }
}
