/**
 * Synthesised images: what each is of, and where it lies in the picture of its record. Rows of `columns` tiles, one white
 * pixel between them; see `class_model` in http_api.md.
 */

import { pictureOf } from "./items.js";

/** @typedef {{columns: number, height: number, width: number, scale: number}} Sheet  scale: of a picture that was made smaller. */

/** @param {Rec | null | undefined} record @returns {Target[]} All, in the order of the tiles; none where one makes no sense. */
export function targetsIn(record) {
  const targets = record?.meta.targets;
  return Array.isArray(targets) && targets.every((one) => Number.isInteger(one?.unit)) ? targets : [];
}

/** Whether targets are units of the layer; else they are outputs of the network, as classes are. @param {Rec} record */
export const isOfUnits = (record) => record.meta.kind === "units";

/**
 * How the tiles lie in the picture.
 * @param {Rec | null | undefined} record
 * @returns {Sheet | null}  Null: it is no sheet of tiles.
 */
export function sheetOf(record) {
  const [count, shape, columns] = [targetsIn(record).length, pictureOf(record)?.shape ?? [], Number(record?.meta.columns)];
  const [height, width] = Array.isArray(record?.meta.tile) ? record.meta.tile : [0, 0];
  if (!count || shape.length !== 3 || !(columns > 0 && height > 0 && width > 0)) return null;
  const whole = { height: Math.ceil(count / columns) * (height + 1) - 1, width: columns * (width + 1) - 1 };
  const scale = shape[1] / whole.width;
  const fits = scale < 1 ? Math.abs(shape[0] - scale * whole.height) <= 1 : scale === 1 && shape[0] === whole.height;
  return fits ? { columns, height, width, scale } : null;
}

/**
 * Where a tile lies, in pixels of the picture.
 * @param {Sheet} sheet
 * @param {number} place  of its target among those of the record
 */
export function tilePlace({ columns, height, width, scale }, place) {
  const [x, y] = [(place % columns) * (width + 1), Math.floor(place / columns) * (height + 1)];
  return { x: x * scale, y: y * scale, width: width * scale, height: height * scale };
}

/**
 * A tile; null while the picture is on its way, or where there is none.
 * @param {import("../io/blob_cache.js").Blobs} blobs
 * @param {Rec | null | undefined} record
 * @param {number} place
 * @returns {import("../render/tile.js").Tile | null}
 */
export function targetTile(blobs, record, place) {
  const [sheet, item] = [sheetOf(record), pictureOf(record)];
  const image = /** @type {ImageBitmap | null} */ (sheet && item && place >= 0 ? blobs.get(item.url) : null);
  return image && sheet && { image, ...tilePlace(sheet, place) };
}

/**
 * What a record has of a unit or class.
 * @param {Rec | null | undefined} record
 * @param {number} unit
 */
export function targetOf(record, unit) {
  const place = targetsIn(record).findIndex((one) => one.unit === unit);
  return { place, target: /** @type {Target | undefined} */ (targetsIn(record)[place]) };
}

/**
 * The targets of some records, each once, in the order in which the first that has them names them.
 * @param {Rec[]} records
 * @returns {{unit: number, name: string}[]}
 */
export function allTargets(records) {
  /** @type {Map<number, string>} */
  const names = new Map();
  for (const record of records) for (const { unit, name } of targetsIn(record)) if (!names.has(unit)) names.set(unit, String(name));
  return [...names].map(([unit, name]) => ({ unit, name }));
}
