/** Puts a part of an image on a canvas. */

import { pixelRatio } from "./canvas.js";

/** @typedef {{image: CanvasImageSource, x: number, y: number, width: number, height: number}} Tile  Cut out of an image. */

/** A patch that is enlarged less than this fills its field, smoothly; what is enlarged more has sharp pixels. */
const SHARP = 3;

/**
 * Put a tile on a canvas, in the middle of a field.
 * @param {CanvasRenderingContext2D} context
 * @param {Tile} tile
 * @param {{left: number, top: number, width: number, height: number}} field  in CSS pixels
 * @param {boolean} [sharp]  Enlarged in whole pixels of the screen only.
 */
export function putTile(context, tile, field, sharp) {
  const ratio = pixelRatio();
  const fit = Math.min((field.width * ratio) / tile.width, (field.height * ratio) / tile.height);
  const whole = fit >= (sharp ? 1 : SHARP);
  const scale = whole ? Math.floor(fit) : fit;
  const [width, height] = [Math.round(tile.width * scale), Math.round(tile.height * scale)];
  const left = Math.round(field.left * ratio) + Math.floor((Math.round(field.width * ratio) - width) / 2);
  const top = Math.round(field.top * ratio) + Math.floor((Math.round(field.height * ratio) - height) / 2);
  context.imageSmoothingEnabled = !whole;
  context.imageSmoothingQuality = "high";
  context.drawImage(tile.image, tile.x, tile.y, tile.width, tile.height, left, top, width, height);
  // A hair line around it: a white patch on white is something else than no patch.
  context.strokeStyle = "#8883";
  context.strokeRect(left - 0.5, top - 0.5, width + 1, height + 1);
}
