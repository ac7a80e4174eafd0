/**
 * The files of a record, found by the names that its callback gave them: see "What each method writes" in http_api.md. A store
 * may come from anywhere: values that are empty, or of another number of axes, are not those that are looked for.
 */

/** @param {Item} item @param {number} axes */
const fits = ({ kind, shape }, axes) => kind === "values" && shape.length === axes && !shape.includes(0);

/**
 * The values of a name.
 * @param {Rec | null | undefined} record
 * @param {string} name
 * @param {number} [axes]  When left out, any shape will do.
 * @returns {Item | undefined}
 */
export const valuesOf = (record, name, axes) =>
  record?.items.find((item) => item.name === name && (axes === undefined ? item.kind === "values" : fits(item, axes)));

/** All values of so many axes, where the names are the user's choice. @param {Rec} record @param {number} axes */
export const allValues = (record, axes) => record.items.filter((item) => fits(item, axes));

/** Those that there are. @param {(Item | null | undefined)[]} items */
export const present = (...items) => items.flatMap((item) => item ?? []);

/** @param {Rec | null | undefined} record */
export const picturesOf = (record) => record?.items.filter(({ kind }) => kind === "picture") ?? [];

/** @param {Rec | null | undefined} record @param {number} [place]  @returns {Item | undefined} */
export const pictureOf = (record, place = 0) => picturesOf(record)[place];

/** The filters (K, C, h, w) of a convolution. @param {Rec | null | undefined} record */
export const weightsOf = (record) => (record?.method === "filters" ? valuesOf(record, "weight", 4) : undefined);

/** The maps (N, U, h, w) that were kept of the probe's images. @param {Rec | null | undefined} record */
export const mapsOf = (record) => valuesOf(record, "maps", 4);

/** The mean of the positive part (N, units) of each unit in each image. @param {Rec | null | undefined} record */
export const activityOf = (record) => valuesOf(record, "activity", 2);

/** From the least to the largest value that records say they have: it must not change while the epoch does. @param {Rec[]} records */
export function rangeIn(records) {
  const ends = records.flatMap(({ meta }) => [Number(meta.vmin ?? NaN), Number(meta.vmax ?? NaN)]).filter(Number.isFinite);
  return ends.length ? { low: Math.min(...ends), high: Math.max(...ends) } : null;
}
