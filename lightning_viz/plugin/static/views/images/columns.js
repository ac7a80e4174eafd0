/**
 * What the methods have in common whose values are maps of the probe's images, and the columns that they make: one per
 * method, layer and rule. A new method is one entry of MAP_KINDS.
 */

import { allValues, present, valuesOf } from "../../model/items.js";
import { history, layersOf } from "../../model/records.js";

/** @typedef {import("../../render/palettes.js").Range} Range */
/** @typedef {import("../../render/maps.js").Box} Box */

/**
 * What there is to know of a method whose values are maps of images.
 * @typedef {Object} MapKind
 * @property {string} method
 * @property {string} title
 * @property {number} axes  of its values: 3 is (N, h, w), 4 is (N, C, h, w)
 * @property {"heat" | "grey" | "signed" | "class"} colours  From 0 on; "signed": around 0, in mid-grey; "class": values are
 *   numbers of classes.
 * @property {boolean} over  Whether it is drawn over the photograph.
 * @property {string} [item]  Which of its values; all when left out: one per rule.
 * @property {number} [peak]  The largest value that there can be, where that is known.
 */

/** In the order of the columns. @type {MapKind[]} */
export const MAP_KINDS = [
  { method: "grad_cam", title: "Grad-CAM", axes: 3, colours: "heat", over: true, item: "maps" },
  { method: "attention", title: "Attention", axes: 3, colours: "heat", over: true, item: "maps" },
  { method: "attention", title: "Attention rollout", axes: 3, colours: "heat", over: true, item: "rollout" },
  { method: "occlusion", title: "Occlusion", axes: 3, colours: "heat", over: true, item: "drop" },
  { method: "occlusion", title: "Occlusion", axes: 3, colours: "grey", over: false, item: "probability", peak: 1 },
  { method: "occlusion", title: "Occlusion", axes: 3, colours: "class", over: false, item: "predicted" },
  { method: "saliency", title: "Saliency", axes: 3, colours: "grey", over: false, item: "maps" },
  { method: "reconstruction", title: "Reconstruction", axes: 4, colours: "signed", over: false },
];

/**
 * The same map of all images, runs and epochs.
 * @typedef {Object} Column
 * @property {string} key
 * @property {MapKind} kind
 * @property {string} layer
 * @property {string} item  The name of its values in a record.
 * @property {Range | null} range  Over all shown runs and epochs.
 * @property {{height: number, width: number} | null} cut  What is shown of the image where that is small: the largest box.
 */

/**
 * The values that a record has for a kind.
 * @param {Rec} record
 * @param {MapKind} kind
 */
export const mapsIn = (record, kind) => (kind.item ? present(valuesOf(record, kind.item, kind.axes)) : allValues(record, kind.axes));

/**
 * Every map that some shown run has at some epoch.
 * @param {Rec[][]} lists
 * @returns {Column[]}
 */
export function columnsOf(lists) {
  return MAP_KINDS.flatMap((kind) =>
    layersOf(lists, kind.method).flatMap((layer) => {
      const records = lists.flatMap((list) => history(list, kind.method, layer));
      const items = [...new Set(records.flatMap((record) => mapsIn(record, kind).map((item) => item.name)))];
      const cut = cutOf(records);
      return items.map((item) => ({ key: JSON.stringify([kind.method, layer, item]), kind, layer, item, cut, range: rangeOf(records, kind, item) }));
    }),
  );
}

/**
 * @param {Rec[]} records
 * @param {MapKind} kind
 * @param {string} item
 * @returns {Range | null}
 */
function rangeOf(records, kind, item) {
  if (kind.colours === "class") return null;
  const peaks = records.map((record) => peakOf(record, kind, item)).filter(Number.isFinite);
  if (!peaks.length) return null;
  const high = Math.max(0, ...peaks);
  if (kind.colours === "signed") return { low: -high, high };
  return { low: 0, high };
}

/**
 * The largest value in a record; of signed ones without the sign. NaN when that is not known.
 * @param {Rec} record
 * @param {MapKind} kind
 * @param {string} item
 */
export const peakOf = ({ meta }, kind, item) => Number(kind.peak ?? (kind.colours === "signed" ? meta.bounds?.[item] : meta.vmax) ?? NaN);

/**
 * Where all boxes are small beside the image, it is not shown whole: a part of its proportions that holds the largest.
 * @param {Rec[]} records
 */
function cutOf(records) {
  const [height, width] = sizeOf(records[0]) ?? [0, 0];
  let most = 0;
  for (const { meta } of records) {
    if (!Array.isArray(meta.boxes?.[0])) continue;
    const [top, left, bottom, right] = meta.boxes[0]; // they are of one size
    most = Math.max(most, (bottom - top) / height, (right - left) / width);
  }
  if (!(most > 0 && most <= 0.5)) return null;
  return { height: Math.ceil(most * height), width: Math.ceil(most * width) };
}

/** @type {(record: Rec | undefined) => number[] | null} */
const sizeOf = (record) => (Array.isArray(record?.meta.size) && record.meta.size.length === 2 ? record.meta.size : null);

/** How many images a run has, and how large they are. @param {Rec[]} records */
export function imagesOf(records) {
  const seen = records.flatMap((record) => MAP_KINDS.filter((kind) => kind.method === record.method).flatMap((kind) => mapsIn(record, kind)));
  const sized = records.find((record) => MAP_KINDS.some((kind) => kind.method === record.method) && sizeOf(record));
  const [height, width] = sizeOf(sized) ?? seen[0]?.shape.slice(-2) ?? [1, 1];
  return { count: Math.max(0, ...seen.map((item) => item.shape[0])), height, width };
}

/**
 * What a class is called.
 * @param {Rec | null | undefined} record
 * @param {number} number
 */
export const classNameOf = (record, number) => String(record?.meta.class_names?.[number] ?? `class ${number}`);

/** Records without values, only pictures, of the methods of this view. @param {Rec} record */
export const onlyPictures = (record) =>
  !record.error && MAP_KINDS.some((kind) => kind.method === record.method && !mapsIn(record, kind).length);

/**
 * Where the values of an image lie in it.
 * @param {Rec} record
 * @param {Item} item
 * @param {number} image
 * @returns {Box}
 */
export function boxOf(record, item, image) {
  const [height, width] = item.shape.slice(-2);
  const [top, left] = record.meta.boxes?.[image] ?? [0, 0];
  return { top, left, height, width };
}

/**
 * The part of an image that a column shows.
 * @param {Column} column
 * @param {Box} box
 * @param {{height: number, width: number}} size  of the image
 * @returns {Box}
 */
export function frameOf({ cut }, box, size) {
  if (!cut) return { top: 0, left: 0, height: size.height, width: size.width };
  /** @type {(start: number, length: number, shown: number, whole: number) => number} */
  const begin = (start, length, shown, whole) => Math.max(0, Math.min(whole - shown, Math.round(start + (length - shown) / 2)));
  return { top: begin(box.top, box.height, cut.height, size.height), left: begin(box.left, box.width, cut.width, size.width), ...cut };
}
