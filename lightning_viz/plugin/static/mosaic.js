/**
 * The pictures and tables of strongest patches. A picture is a mosaic: rows are units, columns patches, the strongest
 * first, one white pixel between the tiles. The tables hold all units of the layer.
 */

/** @typedef {import("./types.js").Rec} Rec */
/** @typedef {import("./types.js").Item} Item */
/** @typedef {import("./types.js").Values} Values */
/** @typedef {import("./blobs.js").Blobs} Blobs */
/** @typedef {{image: CanvasImageSource, x: number, y: number, width: number, height: number}} Tile  Cut out of an image. */

/** What the tables are called in a record. */
export const TABLES = ["values", "image_ids", "positions", "boxes"];

/** The place of a picture among those of a record. @type {Record<"patch" | "projection", number>} */
export const PLACES = { patch: 0, projection: 1 };

/** @param {Rec} record */
const picturesIn = (record) => record.items.filter((item) => item.kind === "picture");

/** The units that have pictures. @param {Rec} record @returns {number[]} */
export const unitsIn = (record) => (Array.isArray(record.meta.units) ? record.meta.units : []);

/** How many patches of a unit have pictures. @param {Rec} record */
export const patchesIn = ({ meta }) => (Number.isInteger(meta.k) ? Number(meta.k) : 0);

/** @param {Rec} record @param {string} name @returns {Item | undefined} */
export const tableIn = (record, name) => record.items.find((item) => item.kind === "values" && item.name === name && !item.shape.includes(0));

/** How many units the layer has. @param {Rec} record */
export const unitCount = (record) => Number(record.meta.unit_count ?? tableIn(record, "values")?.shape[0] ?? 0);

/**
 * The size of a tile: what the picture's shape says.
 * @param {Rec} record
 * @returns {{height: number, width: number} | null} Null: it is no mosaic.
 */
export function tileSize(record) {
  const pictures = picturesIn(record);
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
export const pictureOf = (record, what) => /** @type {Item} */ (picturesIn(record)[PLACES[what]]);

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
  const image = /** @type {ImageBitmap | null} */ (blobs.get(pictureOf(record, what).url));
  return image && { image, x: rank * (size.width + 1), y: row * (size.height + 1), ...size };
}

/**
 * A fetched table; null while it is on its way.
 * @param {Blobs} blobs
 * @param {Rec} record
 * @param {string} name
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
  const size = table.data.length / table.shape[0];
  const entry = size / table.shape[1];
  const start = unit * size + (rank ?? 0) * entry;
  return [...table.data.subarray(start, rank === undefined ? start + size : start + entry)];
}

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
  const ratio = window.devicePixelRatio || 1;
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

/**
 * Make a canvas as large as its room, and empty.
 * @param {any} canvas
 * @param {{width: number, height: number}} size  in CSS pixels
 * @returns {CanvasRenderingContext2D}
 */
export function freshCanvas(canvas, size) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.max(1, Math.round(size.width * ratio)), Math.max(1, Math.round(size.height * ratio))];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  return context;
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
