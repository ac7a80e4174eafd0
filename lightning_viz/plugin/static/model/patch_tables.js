/**
 * The pictures and tables of strongest patches. A picture is a mosaic: rows are units, columns patches, the strongest
 * first, one white pixel between the tiles. The tables hold all units of the layer.
 */

import { partOf } from "../render/maps.js";
import { picturesOf, pictureOf, valuesOf } from "./items.js";

/** @typedef {import("../io/blob_cache.js").Blobs} Blobs */
/** @typedef {import("../render/tile.js").Tile} Tile */

/** What the tables are called in a record, and their axes: units, patches, and of the last two what they say of each. */
const AXES = { values: 2, image_ids: 2, positions: 3, boxes: 3 };

/** @typedef {keyof typeof AXES} Table */

export const TABLES = /** @type {Table[]} */ (Object.keys(AXES));

/** The place of a picture among those of a record. @type {Record<"patch" | "projection", number>} */
const PLACES = { patch: 0, projection: 1 };

/** The units that have pictures. @param {Rec} record @returns {number[]} */
export const unitsIn = (record) => (Array.isArray(record.meta.units) ? record.meta.units : []);

/** How many patches of a unit have pictures. @param {Rec} record */
export const patchesIn = ({ meta }) => (Number.isInteger(meta.k) ? Number(meta.k) : 0);

/** @param {Rec | null | undefined} record @param {Table} name */
export const tableIn = (record, name) => valuesOf(record, name, AXES[name]);

/** How many units the layer has. @param {Rec} record */
export const unitCount = (record) => Number(record.meta.unit_count ?? tableIn(record, "values")?.shape[0] ?? 0);

/**
 * The size of a tile: what the picture's shape says.
 * @param {Rec} record
 * @returns {{height: number, width: number} | null} Null: it is no mosaic.
 */
export function tileSize(record) {
  const pictures = picturesOf(record);
  const [rows, columns] = [unitsIn(record).length, patchesIn(record)];
  if (pictures.length < 2 || !rows || !columns) return null;
  const [height, width] = [(pictures[0].shape[0] + 1) / rows - 1, (pictures[0].shape[1] + 1) / columns - 1];
  return Number.isInteger(height) && Number.isInteger(width) && height > 0 && width > 0 ? { height, width } : null;
}

/**
 * The picture of patches or that of their reconstructions.
 * @param {Rec} record
 * @param {"patch" | "projection"} what
 */
export const mosaicOf = (record, what) => /** @type {Item} */ (pictureOf(record, PLACES[what]));

/**
 * One tile of a picture; null while it is on its way, or where the unit has none.
 * @param {Blobs} blobs
 * @param {Rec} record
 * @param {"patch" | "projection"} what
 * @param {number} unit
 * @param {number} rank  0 is the strongest.
 * @returns {Tile | null}
 */
export function tileIn(blobs, record, what, unit, rank) {
  const [size, row] = [tileSize(record), unitsIn(record).indexOf(unit)];
  if (!size || row < 0) return null;
  const image = /** @type {ImageBitmap | null} */ (blobs.get(mosaicOf(record, what).url));
  return image && { image, x: rank * (size.width + 1), y: row * (size.height + 1), ...size };
}

/**
 * A fetched table; null while it is on its way.
 * @param {Blobs} blobs
 * @param {Rec} record
 * @param {Table} name
 */
export function tableOf(blobs, record, name) {
  const item = tableIn(record, name);
  return item ? /** @type {Values | null} */ (blobs.get(item.url)) : null;
}

/**
 * What a table says of one unit, in the order of strength; of one patch only, if asked.
 * @param {Values | null} table
 * @param {number} unit
 * @param {number} [rank]
 * @returns {number[]}
 */
export function entriesOf(table, unit, rank) {
  if (!table || unit >= table.shape[0]) return [];
  return [...(rank === undefined ? partOf(table, unit) : partOf(table, unit, rank))];
}

/**
 * What all tiles of some records have in common: how high and how wide they are, the longer side being 1.
 * @param {Rec[]} records
 */
export function proportions(records) {
  const sizes = records.flatMap((record) => tileSize(record) ?? []);
  const part = (/** @type {"height" | "width"} */ side) => Math.max(0, ...sizes.map((size) => size[side] / Math.max(size.height, size.width)));
  return { tall: part("height") || 1, wide: part("width") || 1 };
}
