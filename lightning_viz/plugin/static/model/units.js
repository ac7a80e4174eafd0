/** Which layers have units to look at, and how many. */

import { activityOf, weightsOf } from "./items.js";
import { unitCount } from "./patch_tables.js";
import { drawnRecords, layerOf, layersOf, rowOf } from "./records.js";
import { isOfUnits } from "./targets.js";

/**
 * @param {Rec[][]} lists
 * @param {string[]} methods  that say something of single units; or of classes, which are none
 * @returns {string[]}
 */
export const layersWithUnits = (lists, methods) =>
  [...new Set(methods.flatMap((method) => layersOf(lists, method)).map(layerOf))].filter((layer) => unitsOf(lists, methods, layer) > 0);

/**
 * How many units a layer has; 0 when that is not known.
 * @param {Rec[][]} lists
 * @param {string[]} methods
 * @param {string} layer
 */
export function unitsOf(lists, methods, layer) {
  const counts = lists.flatMap((records) => methods.map((method) => countIn(drawnRecords(records, method, rowOf([records], [method], layer)).at(-1))));
  return Math.max(0, ...counts.filter(Number.isFinite));
}

/** @param {Rec | undefined} record */
function countIn(record) {
  if (!record) return 0;
  if (record.method === "filters") return weightsOf(record)?.shape[0] ?? 0;
  if (record.method === "class_model" && !isOfUnits(record)) return 0;
  return Math.max(unitCount(record), activityOf(record)?.shape[1] ?? 0);
}

/**
 * The number of the unit some places on; it stays among those that there are.
 * @param {Rec[][]} lists
 * @param {string[]} methods
 * @param {Unit} unit
 * @param {number} by
 */
export const neighbour = (lists, methods, { layer, unit }, by) => Math.max(0, Math.min(unitsOf(lists, methods, layer) - 1, unit + by));
