import assert from "node:assert/strict";
import { test } from "node:test";
import { addressOf, stateOf } from "../../lightning_viz/plugin/static/app/address.js";
import { viewFields } from "../../lightning_viz/plugin/static/app/views.js";
import { initialOf } from "../../lightning_viz/plugin/static/model/fields.js";
import { INITIAL as COMMON } from "../../lightning_viz/plugin/static/model/state.js";

const INITIAL = { ...COMMON, ...initialOf(viewFields) };

const FULL = {
  view: "embedding", epoch: 2.5, chosen: ["a,b", "50% off", "%2C", ""], tag: "loss/train", scale: "own", zoom: 1.5,
  unit: { layer: "features.0,1", unit: 12 }, image: 3, opacity: 0, page: "unit", filmContent: "both",
  embeddingMode: "neighbours", grid: true, layer: "fc", emphasis: 0,
  selected: { sample: "0123456789abcdef", points: [0, 3, 4, 5, 9] }, synthesis: "dreams", target: { layer: "output", unit: 3 },
};

test("what is as usual is left out", () => {
  assert.deepEqual(addressOf(INITIAL), {});
});

test("an address leads back to the state", () => {
  const chosen = FULL.chosen.slice(0, 3); // an empty name is no run
  assert.deepEqual(stateOf(addressOf({ ...INITIAL, ...FULL })), { ...FULL, chosen });
  const usual = Object.fromEntries(Object.keys(FULL).map((key) => [key, INITIAL[key]]));
  assert.deepEqual(stateOf({}), usual);
});

test("the names in the address never change: links last", () => {
  assert.deepEqual(addressOf({ ...INITIAL, ...FULL }), {
    view: "embedding", epoch: "2.5", runs: "a%2Cb,50%25 off,%252C,", tag: "loss/train", scale: "own", zoom: "1.5",
    unit: "12,features.0,1", image: "3", opacity: "0", page: "unit", strip: "both", look: "neighbours", grid: "1",
    layer: "fc", class: "0", points: "0123456789abcdef:0,3-5,9", synthesis: "dreams", target: "3,output",
  });
});

test("what makes no sense is left out", () => {
  const nonsense = {
    epoch: "x", zoom: "-1", opacity: "7", unit: "a,conv", image: "-3", page: "unit", strip: "film", look: "x", grid: "yes",
    class: "1e9", points: "zz:1", scale: "7", synthesis: "x", target: "cat,output",
  };
  assert.deepEqual(stateOf(nonsense), stateOf({}));
  for (const zoom of ["0", "17", "Infinity", "NaN", ""]) assert.equal(stateOf({ zoom }).zoom, 1);
  assert.deepEqual(stateOf({ runs: "" }).chosen, []);
});

test("points may be without a sample; ranges are put in order, and bounded", () => {
  assert.deepEqual(stateOf({ points: "7,2-3" }).selected, { sample: "", points: [2, 3, 7] });
  assert.deepEqual(stateOf({ points: ":5-3" }).selected, null);
  assert.equal(stateOf({ points: "0-999999" }).selected?.points.length, 100_000);
});

test("a selection that makes the address too long is not written", () => {
  const points = Array.from({ length: 2000 }, (_, place) => 2 * place);
  assert.equal(addressOf({ ...INITIAL, selected: { sample: "", points } }).points, undefined);
  assert.equal(addressOf({ ...INITIAL, selected: { sample: "", points: [] } }).points, undefined);
});
