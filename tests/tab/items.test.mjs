import assert from "node:assert/strict";
import { test } from "node:test";
import * as items from "../../lightning_viz/plugin/static/model/items.js";
import { record } from "./helpers.mjs";

test("values are found by name; empty ones, and those of another number of axes, are not taken", () => {
  const one = record({ values: { maps: [2, 3, 4], empty: [2, 0, 4] }, pictures: [[4, 5, 3]] });
  assert.equal(items.valuesOf(one, "maps", 3), one.items[1]);
  assert.equal(items.valuesOf(one, "maps", 4), undefined);
  assert.equal(items.valuesOf(one, "empty", 3), undefined);
  assert.equal(items.valuesOf(one, "empty"), one.items[2]);
  assert.equal(items.valuesOf(one, "picture 0"), undefined);
  assert.equal(items.valuesOf(null, "maps"), undefined);
  assert.deepEqual(items.allValues(one, 3), [one.items[1]]);
});

test("pictures are found by their place among the pictures", () => {
  const one = record({ values: { maps: [2, 3, 4] }, pictures: [[4, 5, 3], [6, 7, 3]] });
  one.items.reverse();
  assert.deepEqual(items.picturesOf(one).map(({ name }) => name), ["picture 1", "picture 0"]);
  assert.equal(items.pictureOf(one)?.name, "picture 1");
  assert.equal(items.pictureOf(one, 2), undefined);
  assert.equal(items.pictureOf(undefined), undefined);
});

test("the values of a user's own method are not taken for filters, whatever their axes and name", () => {
  const values = { weight: [8, 3, 5, 5] };
  assert.equal(items.weightsOf(record({ values }))?.name, "weight");
  assert.equal(items.weightsOf(record({ values, method: "filter_norms" })), undefined);
  assert.equal(items.weightsOf(record({ values: { norm: [8, 3, 5, 5] } })), undefined);
  assert.equal(items.weightsOf(record({ values: { weight: [8, 3, 5] } })), undefined);
});

test("the range of a layer is that of all its records, of what they say and is finite", () => {
  const say = (vmin, vmax) => record({ meta: { vmin, vmax } });
  assert.deepEqual(items.rangeIn([say(-1, 2), say(0, 5), say("-Infinity", "NaN"), record()]), { low: -1, high: 5 });
  assert.equal(items.rangeIn([record()]), null);
});
