/**
 * Filters as pixels, by the same rules as `lightning_viz/render`, to the last bit: one pixel per weight, one between
 * filters; three input channels in colour, one in grey, else rows are filters and columns input channels.
 */

import { partOf } from "./maps.js";
import { finiteRange, linear, markOf } from "./palettes.js";

/** @typedef {import("./palettes.js").Range} Range */

/**
 * Where everything lies in the picture of filters of a shape.
 * @typedef {Object} Layout
 * @property {number} units  shown
 * @property {number} channels
 * @property {number} tileHeight
 * @property {number} tileWidth
 * @property {number} columns  tiles in a row
 * @property {number} rows
 * @property {boolean} whole  A tile is a whole filter; else one input channel of one.
 * @property {number} width
 * @property {number} height
 */

const MOST = 64;

/** @param {number} count */
function gridColumns(count) {
  const root = Math.ceil(Math.sqrt(count));
  for (let columns = root; columns < 2 * root; columns++) if (count % columns === 0) return columns;
  return root;
}

/** @param {number[]} shape  (K, C, h, w) @returns {Layout} */
export function layoutOf([units, channels, tileHeight, tileWidth]) {
  const whole = channels === 1 || channels === 3;
  const shown = whole ? units : Math.min(units, MOST);
  const columns = whole ? gridColumns(units) : Math.min(channels, MOST);
  const rows = whole ? Math.ceil(units / columns) : shown;
  return {
    units: shown, channels, tileHeight, tileWidth, columns, rows, whole,
    width: columns * (tileWidth + 1) - 1,
    height: rows * (tileHeight + 1) - 1,
  };
}

/**
 * What lies under a pixel of the picture; null between filters.
 * @param {Layout} layout
 * @param {number} x
 * @param {number} y
 */
export function locate(layout, x, y) {
  const column = Math.floor(x / (layout.tileWidth + 1));
  const row = Math.floor(y / (layout.tileHeight + 1));
  const inX = x - column * (layout.tileWidth + 1);
  const inY = y - row * (layout.tileHeight + 1);
  const unit = layout.whole ? row * layout.columns + column : row;
  if (x < 0 || y < 0 || column >= layout.columns || unit >= layout.units) return null;
  if (inX >= layout.tileWidth || inY >= layout.tileHeight) return null;
  return { unit, channel: layout.whole ? null : column, x: inX, y: inY };
}

/**
 * The box of a unit in the picture, in its pixels.
 * @param {Layout} layout
 * @param {number} unit
 */
export function boxOf(layout, unit) {
  const [row, column] = layout.whole ? [Math.floor(unit / layout.columns), unit % layout.columns] : [unit, 0];
  return {
    left: column * (layout.tileWidth + 1),
    top: row * (layout.tileHeight + 1),
    width: layout.whole ? layout.tileWidth : layout.width,
    height: layout.tileHeight,
  };
}

/**
 * @param {Values} filters  (K, C, h, w)
 * @param {Range | null} scale  Null: each filter from its own minimum to its own maximum.
 * @returns {ImageData} transparent between the filters
 */
export function drawFilters(filters, scale) {
  const layout = layoutOf(filters.shape);
  const image = new ImageData(layout.width, layout.height);
  const size = layout.tileHeight * layout.tileWidth;
  for (let unit = 0; unit < layout.units; unit++) {
    const values = partOf(filters, unit);
    const toByte = linear(scale ?? finiteRange(values));
    const box = boxOf(layout, unit);
    if (layout.whole) {
      const green = layout.channels === 3 ? size : 0;
      drawTile(image, box.left, box.top, layout.tileWidth, [values, values.subarray(green), values.subarray(2 * green)], size, toByte);
    } else {
      for (let column = 0; column < layout.columns; column++) {
        const part = values.subarray(column * size);
        drawTile(image, box.left + column * (layout.tileWidth + 1), box.top, layout.tileWidth, [part, part, part], size, toByte);
      }
    }
  }
  return image;
}

/**
 * @param {ImageData} image
 * @param {number} left
 * @param {number} top
 * @param {number} width
 * @param {Float32Array[]} channels  red, green, blue
 * @param {number} size  pixels of the tile
 * @param {(value: number) => number} toByte
 */
function drawTile(image, left, top, width, [red, green, blue], size, toByte) {
  for (let i = 0; i < size; i++) {
    const place = 4 * ((top + Math.floor(i / width)) * image.width + left + (i % width));
    const mark = markOf(blue[i]) ?? markOf(green[i]) ?? markOf(red[i]);
    image.data[place] = mark ? mark[0] : toByte(red[i]);
    image.data[place + 1] = mark ? mark[1] : toByte(green[i]);
    image.data[place + 2] = mark ? mark[2] : toByte(blue[i]);
    image.data[place + 3] = 255;
  }
}

/**
 * Make the lines between filters transparent in a picture that was drawn elsewhere.
 * @param {CanvasRenderingContext2D} context
 * @param {Layout} layout
 */
export function clearGaps(context, layout) {
  for (let column = 1; column < layout.columns; column++) context.clearRect(column * (layout.tileWidth + 1) - 1, 0, 1, layout.height);
  for (let row = 1; row < layout.rows; row++) context.clearRect(0, row * (layout.tileHeight + 1) - 1, layout.width, 1);
}

/**
 * The same where the layout is not known: no row of filters is white from end to end, only the lines between them are.
 * @param {CanvasRenderingContext2D} context
 */
export function clearWhiteLines(context) {
  const { width, height } = context.canvas;
  const { data } = context.getImageData(0, 0, width, height);
  const white = new Uint8Array(width * height).map((_, i) => +(Math.min(data[4 * i], data[4 * i + 1], data[4 * i + 2]) === 255));
  for (let x = 0; x < width; x++) if (white.every((is, i) => is || i % width !== x)) context.clearRect(x, 0, 1, height);
  for (let y = 0; y < height; y++) if (white.subarray(y * width, (y + 1) * width).every(Boolean)) context.clearRect(0, y, width, 1);
}
