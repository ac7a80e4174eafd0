/** The film strip of a layer: which epochs and units it has, what lies in a cell, where it lies, where a winner changed. */

import { ascending } from "../model/epochs.js";
import { weightsOf } from "../model/items.js";
import { entriesOf, proportions, tableOf, tileIn, tileSize, unitsIn } from "../model/patch_tables.js";
import { drawFilters, boxOf, layoutOf } from "../render/filter_grid.js";

/** @typedef {import("../render/tile.js").Tile} Tile */
/** @typedef {import("../io/blob_cache.js").Blobs} Blobs */
/** @typedef {"patch" | "projection" | "weights"} Lane */

/** Columns are never narrower: their heads are buttons. */
const NARROWEST = 24;
/** Cells are not larger, unless zoomed. */
const LARGEST = 48;
const GAP = 4;
/** For the numbers of the units. */
export const GUTTER = 40;
export const HEAD = 24;

/**
 * @typedef {Object} Film
 * @property {number[]} epochs  of all shown runs, so that their columns can be compared
 * @property {number[]} units  of all shown runs
 * @property {Map<number, Rec>} frames  of one run, by epoch
 * @property {Lane[]} lanes  below each other in a cell
 * @property {{tall: number, wide: number}} shape  of a tile
 */

/**
 * @typedef {Object} Layout  In CSS pixels.
 * @property {number[]} epochs  that are shown: where there are too many, some
 * @property {number} gutter  width of the numbers of units; 0: there are none
 * @property {number} cell  width of a column without its gap
 * @property {number} lane  height of one picture
 * @property {number} pitch  from one unit to the next
 * @property {number} width
 * @property {number} height
 */

/** The weights of a convolution that sees colours or grey: then a filter is a picture. @param {Rec} record */
export const pictorial = (record) => [weightsOf(record)].find((item) => item?.shape[1] === 1 || item?.shape[1] === 3);

/** @param {Rec} record @returns {number[]} */
const filmUnits = (record) => (record.method === "filters" ? [...Array(pictorial(record)?.shape[0] ?? 0).keys()] : unitsIn(record));

/**
 * @param {Rec[]} own  of the run, in the order of epochs
 * @param {Rec[]} all  the same of all shown runs
 * @param {Lane[]} lanes
 * @returns {Film}
 */
export function filmOf(own, all, lanes) {
  const weights = lanes[0] === "weights";
  const fine = (/** @type {Rec} */ record) => !record.error && (weights ? pictorial(record) : tileSize(record));
  const good = all.filter(fine);
  const shapes = good.map((record) => pictorial(record)?.shape ?? []).filter((shape) => shape.length);
  const longest = (/** @type {number[]} */ shape) => Math.max(shape[2], shape[3]);
  return {
    epochs: ascending(good.map((record) => record.epoch)),
    units: ascending(good.flatMap(filmUnits)),
    frames: new Map(own.filter(fine).map((record) => [record.epoch, record])),
    lanes,
    shape: weights
      ? { tall: Math.max(...shapes.map((shape) => shape[2] / longest(shape))), wide: Math.max(...shapes.map((shape) => shape[3] / longest(shape))) }
      : proportions(good),
  };
}

/**
 * @param {Film} film
 * @param {number} width
 * @param {number} epoch  It is among the shown ones.
 * @param {number} zoom
 * @param {number} [largest]
 * @param {number} [gutter]
 * @returns {Layout}
 */
export function layFilm(film, width, epoch, zoom, largest = LARGEST, gutter = GUTTER) {
  const room = Math.max(NARROWEST, width - gutter - 3);
  const most = Math.max(1, Math.floor((room + GAP) / (NARROWEST + GAP)));
  const epochs = thinned(film.epochs, most, epoch);
  const fit = Math.floor((room + GAP) / epochs.length) - GAP;
  const cell = Math.max(NARROWEST, Math.floor(Math.min(largest * film.shape.wide, fit) * zoom));
  const lane = Math.round((cell / film.shape.wide) * film.shape.tall);
  const pitch = Math.max(NARROWEST, film.lanes.length * (lane + 2) - 2) + GAP + (film.lanes.length > 1 ? 4 : 0);
  return { epochs, gutter, cell, lane, pitch, width: epochs.length * (cell + GAP) - GAP, height: film.units.length * pitch - GAP };
}

/**
 * At most so many of a list, spread over it; the first and the last are kept, and the one that is looked at.
 * @param {number[]} epochs
 * @param {number} most
 * @param {number} epoch
 */
export function thinned(epochs, most, epoch) {
  if (epochs.length <= most) return epochs;
  const here = epochs.findLast((one) => one <= epoch) ?? epochs[0];
  const chosen = Array.from({ length: Math.max(2, most - 1) }, (_, place, count = Math.max(2, most - 1)) => epochs[Math.round((place * (epochs.length - 1)) / (count - 1))]);
  return ascending([...chosen, here]);
}

/**
 * The place of a picture in the strip.
 * @param {Layout} layout
 * @param {number} column
 * @param {number} row
 * @param {number} lane
 */
export const fieldOf = (layout, column, row, lane) => ({
  left: column * (layout.cell + GAP), top: row * layout.pitch + lane * (layout.lane + 2), width: layout.cell, height: layout.lane,
});

/**
 * The cell under a point; null outside.
 * @param {Layout} layout
 * @param {Film} film
 * @param {{x: number, y: number}} point
 */
export function cellAt(layout, film, { x, y }) {
  const [column, row] = [Math.floor(x / (layout.cell + GAP)), Math.floor(y / layout.pitch)];
  if (column < 0 || row < 0 || column >= layout.epochs.length || row >= film.units.length) return null;
  return { column, row, epoch: layout.epochs[column], unit: film.units[row] };
}

/**
 * What to draw in a cell; null where there is nothing, or not yet.
 * @param {Blobs} blobs
 * @param {Film} film
 * @param {number} epoch
 * @param {number} unit
 * @param {Lane} lane
 * @returns {Tile | null}
 */
export function frameAt(blobs, film, epoch, unit, lane) {
  const record = film.frames.get(epoch);
  if (!record) return null;
  if (lane !== "weights") return tileIn(blobs, record, lane, unit, 0);
  const values = /** @type {Values | null} */ (blobs.get(pictorial(record)?.url ?? ""));
  if (!values || unit >= values.shape[0]) return null;
  const { left, top, width, height } = boxOf(layoutOf(values.shape), unit);
  return { image: sheetOf(values), x: left, y: top, width, height };
}

/** @type {WeakMap<Values, OffscreenCanvas>} */
const sheets = new WeakMap();

/** All filters of an epoch as an image, each from its own minimum to its own maximum. @param {Values} values */
function sheetOf(values) {
  const known = sheets.get(values);
  if (known) return known;
  const drawn = drawFilters(values, null);
  const sheet = new OffscreenCanvas(drawn.width, drawn.height);
  /** @type {OffscreenCanvasRenderingContext2D} */ (sheet.getContext("2d")).putImageData(drawn, 0, 0);
  sheets.set(values, sheet);
  return sheet;
}

/**
 * Whether another image wins than at the drawing before. The tables say so of all units, also those without pictures.
 * @param {Blobs} blobs
 * @param {Rec[]} drawn  of one run, in the order of epochs
 * @param {number} place
 * @param {number} unit
 */
export function winnerChanged(blobs, drawn, place, unit) {
  if (place < 1) return false;
  const [before, now] = [drawn[place - 1], drawn[place]].map((record) => entriesOf(tableOf(blobs, record, "image_ids"), unit, 0)[0]);
  return before !== undefined && now !== undefined && before !== now;
}
