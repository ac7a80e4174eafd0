/** A map of points on its two canvases: pixels below, marks above. */

import { placeInSheet } from "./sheet.js";
import { sized } from "../../render/canvas.js";
import { classColour, packed } from "../../render/palettes.js";
import { differ, isLabel } from "./model.js";
import { drawDots, drawTiles, mix } from "./raster.js";

/** @typedef {import("./model.js").Column} Column */
/** @typedef {import("./raster.js").Camera} Camera */
/** @typedef {{width: number, height: number}} Size */
/** @typedef {{colours: Uint32Array, order: Int32Array, faint: Uint8Array | null, back: number, rim: number, dense: boolean}} Ink */

/** How much of a dimmed dot, or image, is the ground; of 255. */
const FAINT = 215;
const FAINT_IMAGE = 190;
/** With one point selected the others stay readable. */
const FAINTER = 140;

/** @param {string} name  of a colour in styles/tokens.css */
const cssColour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** @param {string} name */
function cssPixel(name) {
  const code = cssColour(name).slice(1);
  const digits = code.length === 3 ? [...code].map((digit) => digit + digit) : (code.match(/../g) ?? []);
  const [red, green, blue] = digits.map((pair) => parseInt(pair, 16));
  return packed(red, green, blue);
}

/** @type {(lens: {zoom: number, x: number, y: number}, room: Size) => Camera} */
export const cameraOf = ({ zoom, x, y }, room) => ({ scale: zoom, x: room.width * (0.5 - x * zoom), y: room.height * (0.5 - y * zoom) });

/**
 * Which points are drawn, in which colours: what is emphasised last, else in an order that favours no class.
 * @param {Column} column
 * @param {number | null} emphasis
 * @param {number[]} selected
 * @param {{point: number}[]} near
 * @returns {Ink}
 */
export function colourPoints({ labels, sample }, emphasis, selected, near) {
  const count = sample?.count ?? 0;
  const back = cssPixel("--back");
  const palette = new Map();
  const colours = new Uint32Array(count);
  const faint = emphasis === null && !selected.length ? null : new Uint8Array(count);
  const chosen = new Set([...selected, ...near.map(({ point }) => point)]);
  for (let point = 0; point < count; point++) {
    const label = labels ? (isLabel(labels[point]) ? labels[point] : -1) : 0;
    if (!palette.has(label)) palette.set(label, packed(.../** @type {[number, number, number]} */ (classColour(label))));
    colours[point] = palette.get(label);
    if (faint && (selected.length ? !chosen.has(point) : labels?.[point] !== emphasis)) faint[point] = near.length ? FAINTER : FAINT;
    if (faint?.[point]) colours[point] = mix(colours[point], back, faint[point]);
    if (faint?.[point]) faint[point] = Math.min(faint[point], FAINT_IMAGE);
  }
  const step = strideFor(count);
  const all = Array.from({ length: count }, (_, place) => (place * step) % count);
  const order = Int32Array.from(faint ? [...all.filter((point) => faint[point]), ...all.filter((point) => !faint[point])] : all);
  return { colours, order, faint, back, rim: cssPixel("--rim"), dense: count > 4000 };
}

/** A step that visits all of `count` places in an order that looks random, and is always the same. @param {number} count */
function strideFor(count) {
  const divisor = (/** @type {number} */ a, /** @type {number} */ b) => {
    while (b) [a, b] = [b, a % b];
    return a;
  };
  let step = Math.max(1, Math.floor(count * 0.618));
  while (divisor(step, count) > 1) step++;
  return step;
}

/** @type {(canvas: HTMLCanvasElement, room: Size, ratio: number) => CanvasRenderingContext2D} */
function contextOf(canvas, room, ratio) {
  const size = { width: Math.round(room.width * ratio), height: Math.round(room.height * ratio) };
  return /** @type {CanvasRenderingContext2D} */ (sized(canvas, size).getContext("2d", { willReadFrequently: true }));
}

/** Reused: all maps are drawn one after the other. @type {ImageData | null} */
let paper = null;

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{room: Size, camera: Camera, ratio: number, ink: Ink, places: Float32Array, radius: number, tile: Size & {framed: boolean} | null,
 *   atlas: import("./raster.js").Atlas | null, sample: Sample, bitmap: ImageBitmap | null}} what  tile: in pixels of the canvas
 */
export function drawBase(canvas, { room, camera, ratio, ink, places, radius, tile, atlas, sample, bitmap }) {
  const context = contextOf(canvas, room, ratio);
  const { width, height } = canvas;
  if (!width || !height) return;
  if (paper?.width !== width || paper?.height !== height) paper = new ImageData(width, height);
  const pixels = new Uint32Array(paper.data.buffer).fill(ink.back);
  const lens = { scale: camera.scale * ratio, x: camera.x * ratio, y: camera.y * ratio };
  const frame = tile ? Math.max(1, Math.round(Math.min(tile.width, tile.height) / 16)) : 0;
  const side = tile?.framed ? frame : 0;
  if (!tile || !bitmap) drawDots({ pixels, width, height }, places, lens, ink.order, ink.colours, { radius: radius * ratio, halo: ink.dense ? 0 : 0.75 * ratio, rim: ink.rim });
  else if (atlas) drawTiles({ pixels, width, height }, places, lens, ink.order, atlas, ink.colours, { side, frame, faint: ink.faint, back: ink.back });
  context.putImageData(paper, 0, 0);
  if (tile && bitmap && !atlas) drawLargeTiles(context, places, lens, ink, { tile, side, frame, sample, bitmap });
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Float32Array} places
 * @param {Camera} lens
 * @param {Ink} ink
 * @param {{tile: Size, side: number, frame: number, sample: Sample, bitmap: ImageBitmap}} what
 */
function drawLargeTiles(context, places, lens, ink, { tile, side, frame, sample, bitmap }) {
  context.imageSmoothingEnabled = tile.width < 2 * sample.width;
  for (const point of ink.order) {
    const left = Math.round(places[2 * point] * lens.scale + lens.x - tile.width / 2);
    const top = Math.round(places[2 * point + 1] * lens.scale + lens.y - tile.height / 2);
    if (!(left > -tile.width && top > -tile.height && left < context.canvas.width && top < context.canvas.height)) continue;
    const colour = ink.colours[point];
    const { x, y } = placeInSheet(sample, point);
    context.fillStyle = `rgb(${colour & 255} ${(colour >> 8) & 255} ${(colour >> 16) & 255})`;
    context.fillRect(left, top, tile.width, tile.height);
    context.globalAlpha = 1 - (ink.faint?.[point] ?? 0) / 255;
    context.drawImage(bitmap, x, y, sample.width, sample.height, left + side, top + side, tile.width - 2 * side, tile.height - side - frame);
    context.globalAlpha = 1;
  }
}

/**
 * Rings, lines to neighbours, the lasso.
 * @param {HTMLCanvasElement} canvas
 * @param {{room: Size, camera: Camera, ratio: number, places: Float32Array, hovered: number, query: number, near: {point: number}[],
 *   labels: Float32Array | null, radius: number, tile: Size | null, lasso: {x: number, y: number}[] | null}} what
 */
export function drawMarks(canvas, { room, camera, ratio, places, hovered, query, near, labels, radius, tile, lasso }) {
  const context = contextOf(canvas, room, ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, room.width, room.height);
  const [text, back, bad, accent] = ["--text", "--back", "--bad", "--accent"].map(cssColour);
  const at = (/** @type {number} */ point) => ({ x: places[2 * point] * camera.scale + camera.x, y: places[2 * point + 1] * camera.scale + camera.y });
  const stroke = (/** @type {string} */ colour, /** @type {number} */ width, /** @type {() => void} */ path) => {
    for (const [style, thick] of /** @type {[string, number][]} */ ([[back, width + 2], [colour, width]])) {
      [context.strokeStyle, context.lineWidth] = [style, thick];
      context.beginPath();
      path();
      context.stroke();
    }
  };
  const ring = (/** @type {number} */ point, /** @type {number} */ more) => {
    const { x, y } = at(point);
    if (tile) context.rect(x - tile.width / 2 - more / 2, y - tile.height / 2 - more / 2, tile.width + more, tile.height + more);
    else context.arc(x, y, radius + more, 0, 2 * Math.PI);
  };
  const there = (/** @type {number} */ point) => point >= 0 && Number.isFinite(places[2 * point] + places[2 * point + 1]);
  if (there(query)) {
    const shown = near.filter(({ point }) => there(point));
    const wrong = (/** @type {number} */ point) => differ(labels, point, query);
    const from = at(query);
    for (const { point } of shown) {
      const to = at(point);
      context.setLineDash(wrong(point) ? [4, 3] : []);
      [context.strokeStyle, context.lineWidth] = [wrong(point) ? bad : text, 1];
      context.beginPath();
      context.moveTo(from.x, from.y);
      context.lineTo(to.x, to.y);
      context.stroke();
    }
    context.setLineDash([]);
    for (const { point } of shown) {
      const { x, y } = at(point);
      const arm = radius + 2;
      if (tile || !wrong(point)) stroke(wrong(point) ? bad : text, 1.5, () => ring(point, 2));
      if (wrong(point)) stroke(bad, 1.75, () => { context.moveTo(x - arm, y - arm); context.lineTo(x + arm, y + arm); context.moveTo(x + arm, y - arm); context.lineTo(x - arm, y + arm); });
    }
    stroke(accent, 2.5, () => ring(query, 3));
  }
  if (there(hovered)) stroke(text, 2, () => ring(hovered, 4));
  if (lasso && lasso.length > 1) {
    context.beginPath();
    for (const { x, y } of lasso) context.lineTo(x * camera.scale + camera.x, y * camera.scale + camera.y);
    context.closePath();
    [context.fillStyle, context.strokeStyle, context.lineWidth] = [`${accent}22`, accent, 1.5];
    context.fill();
    context.stroke();
  }
}
