/** The maps of a layer's units in a grid, each with its unit's number below where there is room. */

import { freshCanvas, pixelRatio } from "../../render/canvas.js";
import { drawMap, gridAt, isZero } from "../../render/maps.js";

/** @typedef {{width: number, height: number}} Size */

/**
 * Where everything lies, in CSS pixels.
 * @typedef {Object} Tiles
 * @property {number} scale  CSS pixels per value
 * @property {number} tileWidth
 * @property {number} tileHeight
 * @property {number} gap
 * @property {number} label  height of the line of a number; 0: there is no room for numbers
 * @property {number} columns
 * @property {number} width
 * @property {number} height
 */

const GAP = 4;
const LABEL = 15;
/** A tile narrower than this has no number, and is enlarged if it can be. */
const LEGIBLE = 24;

/**
 * As large as all fit into the room, in whole device pixels per value; never illegible, rather too high.
 * @param {number} count
 * @param {Size} map
 * @param {Size} room
 * @param {number} zoom
 * @returns {Tiles}
 */
export function layOut(count, map, room, zoom) {
  const ratio = pixelRatio();
  const least = Math.max(1, Math.ceil((LEGIBLE * ratio) / map.width));
  let pixels = Math.max(least, Math.floor((room.width * ratio) / map.width));
  while (pixels > least && grid(count, map, room.width, pixels / ratio).height > room.height) pixels -= 1;
  return grid(count, map, room.width, Math.max(1, Math.floor(pixels * zoom)) / ratio);
}

/**
 * @param {number} count
 * @param {Size} map
 * @param {number} width
 * @param {number} scale
 * @returns {Tiles}
 */
function grid(count, map, width, scale) {
  const [tileWidth, tileHeight] = [map.width * scale, map.height * scale];
  const label = tileWidth >= LEGIBLE ? LABEL : 0;
  const columns = Math.max(1, Math.min(count, Math.floor((width + GAP) / (tileWidth + GAP))));
  const rows = Math.ceil(count / columns);
  return {
    scale, tileWidth, tileHeight, gap: GAP, label, columns,
    width: columns * (tileWidth + GAP) - GAP,
    height: rows * (tileHeight + label + GAP) - GAP,
  };
}

/** @param {Tiles} tiles @param {number} place  from 0, row by row */
export const cornerOf = (tiles, place) => ({
  left: (place % tiles.columns) * (tiles.tileWidth + tiles.gap),
  top: Math.floor(place / tiles.columns) * (tiles.tileHeight + tiles.label + tiles.gap),
});

/**
 * What lies under a point; null between the tiles.
 * @param {Tiles} tiles
 * @param {number} count
 * @param {number} x
 * @param {number} y
 */
export function tileAt(tiles, count, x, y) {
  const column = Math.floor(x / (tiles.tileWidth + tiles.gap));
  const row = Math.floor(y / (tiles.tileHeight + tiles.label + tiles.gap));
  const place = row * tiles.columns + column;
  const { left, top } = cornerOf(tiles, place);
  if (x < 0 || y < 0 || column >= tiles.columns || place >= count || x - left >= tiles.tileWidth) return null;
  const inside = y - top < tiles.tileHeight;
  if (!inside && y - top >= tiles.tileHeight + tiles.label) return null;
  return { place, x: Math.floor((x - left) / tiles.scale), y: inside ? Math.floor((y - top) / tiles.scale) : null };
}

/**
 * @param {any} canvas
 * @param {Tiles} tiles
 * @param {Values} maps  (N, U, h, w)
 * @param {number} image
 * @param {number[]} order  which of U
 * @param {(data: Float32Array) => import("../../render/palettes.js").Range} rangeOf
 * @param {import("../../render/palettes.js").Palette} colours
 */
export function drawTiles(canvas, tiles, maps, image, order, rangeOf, colours) {
  const [context, ratio] = [freshCanvas(canvas, tiles), pixelRatio()];
  context.imageSmoothingEnabled = false;
  const [, , h, w] = maps.shape;
  // All maps below each other, one pixel per value; then each to its place.
  const strip = new OffscreenCanvas(w, h * order.length);
  const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (strip.getContext("2d"));
  order.forEach((unit, place) => {
    const map = gridAt(maps, image, unit);
    pen.putImageData(drawMap(map, rangeOf(map.data), colours), 0, place * h);
  });
  order.forEach((_, place) => {
    const { left, top } = cornerOf(tiles, place);
    context.drawImage(strip, 0, place * h, w, h, left * ratio, top * ratio, tiles.tileWidth * ratio, tiles.tileHeight * ratio);
  });
}

/** @param {Values} maps @param {number} image @param {number} unit */
export const isSilent = (maps, image, unit) => isZero(gridAt(maps, image, unit).data);
