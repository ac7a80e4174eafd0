import assert from "node:assert/strict";
import { test } from "node:test";
import { layersWithUnits, unitsOf } from "../../lightning_viz/plugin/static/model/units.js";
import * as targets from "../../lightning_viz/plugin/static/model/targets.js";
import * as dreams from "../../lightning_viz/plugin/static/views/synthesis/dream_layout.js";
import { historyNeeds } from "../../lightning_viz/plugin/static/views/synthesis/history.js";
import * as layout from "../../lightning_viz/plugin/static/views/synthesis/layout.js";
import { cacheOf, record } from "./helpers.mjs";

const target = (unit, parts) => ({ unit, name: `class ${unit}`, score: 3.14159, probability: 0.934, is_best: true, mark: null, ...parts });

/** Of 4 targets of 5x9 pixels, 3 in a row. */
const models = ({ meta = {}, ...parts } = {}) => record({
  method: "class_model", name: "class_model", layer: "output", pictures: [[11, 29, 3]], scalars: { probability: 0.5 },
  meta: { targets: [7, 2, 4, 0].map((unit) => target(unit)), columns: 3, tile: [5, 9], kind: "classes", unit_count: 9, ...meta }, ...parts,
});

const dream = (layer, order, parts) => record({ method: "deep_dream", name: "deep_dream", layer, pictures: [[96, 128, 3]], meta: { order }, ...parts });

test("a tile is cut out of the sheet by its target", () => {
  const one = models();
  const image = {};
  const blobs = cacheOf({ [one.items[0].url]: image });
  const { place, target: found } = targets.targetOf(one, 0);
  assert.deepEqual([place, found.name], [3, "class 0"]);
  assert.deepEqual(targets.targetTile(blobs, one, place), { image, x: 0, y: 6, width: 9, height: 5 });
  assert.deepEqual(targets.targetTile(blobs, one, 2), { image, x: 20, y: 0, width: 9, height: 5 });
  assert.equal(targets.targetTile(blobs, one, targets.targetOf(one, 99).place), null);
  assert.equal(targets.targetTile(cacheOf({}), one, 0), null);
});

test("a sheet that was made smaller has smaller tiles; what is no sheet has none", () => {
  const smaller = models({ pictures: [[6, 15, 3]] });
  assert.equal(targets.sheetOf(smaller).scale, 15 / 29);
  assert.equal(targets.targetTile(cacheOf({ [smaller.items[0].url]: {} }), smaller, 1).x, 150 / 29);
  const none = [{ pictures: [[12, 29, 3]] }, { pictures: [[]] }, { pictures: [] }, { meta: { columns: 0 } }, { meta: { tile: "5x9" } }, { meta: { targets: [] } }, { meta: { targets: [null] } }, { meta: {}, pictures: [[22, 58, 3]] }];
  assert.deepEqual(none.map((parts) => targets.sheetOf(models(parts))), none.map(() => null));
  assert.equal(targets.sheetOf(null), null);
});

test("targets keep the order of the first record that has them", () => {
  const other = models({ meta: { targets: [target(1), target(7, { name: "renamed" }), target(0)] } });
  assert.deepEqual(targets.allTargets([models(), other]).map(({ unit }) => unit), [7, 2, 4, 0, 1]);
  assert.equal(targets.allTargets([models(), other])[0].name, "class 7");
});

test("classes are no units of a layer; targets that are units count", () => {
  const units = { meta: { kind: "units" }, scalars: {} };
  const lists = [[models(), models({ layer: "conv", ...units }), models({ layer: "fc · mine", ...units })]];
  assert.deepEqual(layersWithUnits(lists, ["class_model"]), ["conv", "fc"]);
  assert.deepEqual(["output", "conv", "fc", "fc · mine"].map((layer) => unitsOf(lists, ["class_model"], layer)), [0, 9, 9, 9]);
});

test("tiles grow by whole factors, as long as all are seen at once, and not beyond the width", () => {
  const tile = { width: 64, height: 32 };
  assert.deepEqual(layout.layTiles(tile, 4, { width: 900, height: 900 }, 1), { width: 192, height: 96 });
  assert.deepEqual(layout.layTiles(tile, 99, { width: 900, height: 300 }, 1), { width: 128, height: 64 });
  assert.deepEqual(layout.layTiles(tile, 99, { width: 900, height: 300 }, 2), { width: 256, height: 128 });
  assert.deepEqual(layout.layTiles(tile, 99, { width: 200, height: 300 }, 8), { width: 192, height: 96 });
  assert.deepEqual(layout.layTiles({ width: 256, height: 128 }, 3, { width: 190, height: 500 }, 1), { width: 190, height: 95 });
  assert.deepEqual(layout.layTiles({ width: 12, height: 20 }, 3, { width: 60, height: 900 }, 1), { width: 60, height: 100 });
});

test("tiles that are too large are made as wide as a part of the room; zoomed in, they have their own pixels", () => {
  const tile = { width: 224, height: 224 };
  for (const width of [190, 350, 568, 1136]) {
    const laid = layout.layTiles(tile, 10, { width, height: 500 }, 1);
    const columns = Math.round((width + layout.TILE_GAP) / (laid.width + layout.TILE_GAP));
    assert.ok(laid.width > 128 && laid.width <= 192 && laid.height === laid.width, `${laid.width}`);
    assert.ok(Math.abs(columns * (laid.width + layout.TILE_GAP) - layout.TILE_GAP - width) < 1e-9);
  }
  assert.equal(layout.layTiles(tile, 10, { width: 568, height: 500 }, 2).width, 224);
});

test("the images of all epochs stand beside the large one, or below it", () => {
  const tile = { width: 64, height: 64 };
  assert.deepEqual(layout.layHistory(tile, 4, 1100, 1), { large: { width: 256, height: 256 }, small: { width: 192, height: 192 }, below: false });
  assert.deepEqual(layout.layHistory(tile, 24, 560, 1), { large: { width: 256, height: 256 }, small: { width: 64, height: 64 }, below: false });
  assert.equal(layout.layHistory(tile, 24, 300, 1).below, true);
  const large = layout.layHistory({ width: 224, height: 112 }, 24, 560, 1);
  assert.deepEqual([large.large.width, Math.round(large.small.width), large.below], [224, 72, false]);
});

test("what is said of an image", () => {
  const dead = target(1, { score: null, probability: null, is_best: false, mark: "dead" });
  const wrong = target(1, { is_best: false, mark: "stopped" });
  const unit = target(1, { name: "unit 1", probability: null });
  assert.deepEqual([dead, wrong, unit, target(1)].map(layout.reached), ["", "93%", "3.14", "93%"]);
  assert.deepEqual([dead, wrong, unit].map(layout.flaw), ["", "stopped early, taken for another class", ""]);
  assert.equal(layout.described(dead), "class 1 is dead: nothing moves it.");
  assert.match(layout.described(wrong), /^class 1: probability 93%, score 3.14\. The model takes it for another class\. Its gradient/);
  assert.equal(layout.described(unit), "unit 1: activation 3.14.");
  assert.equal(layout.manner({ regularisation: "fourier", steps: 32, start: "warm" }), "fourier, 32 steps, from the drawing before");
  assert.equal(layout.manner({ regularisation: "own", steps: 8, start: "cold" }), "own regularisation, 8 steps, from nothing");
  assert.equal(layout.manner({}), "");
});

test("of many epochs some are fetched: the first, the last, and the one before the slider", () => {
  const drawn = Array.from({ length: 100 }, (_, epoch) => models({ epoch }));
  const needed = historyNeeds(drawn, drawn, 50.5).map(({ url }) => url);
  assert.ok(needed.length <= 25);
  for (const epoch of [0, 50, 99]) assert.ok(needed.includes(drawn[epoch].items[0].url));
});

test("dreams go from low to deep; those of another callback are a row of their own", () => {
  const own = { name: "deep_dream own" };
  const lists = [[dream("b", 1), dream("a", 0), dream("b · own", 0, own)], [dream("c", 2), dream("a", 0), dream("", 0, { error: "gone" })]];
  assert.deepEqual(dreams.laidDreams(lists), [
    { name: "deep_dream", layers: ["a", "b", "c"], titles: ["a", "b", "c"], image: { width: 128, height: 96 } },
    { name: "deep_dream own", layers: ["b · own"], titles: ["b"], image: { width: 128, height: 96 } },
  ]);
});

test("where all dreams failed there is a row that says so", () => {
  assert.deepEqual(dreams.laidDreams([[dream("", 0, { error: "gone" })], []]).map(({ layers }) => layers), [[""]]);
  assert.deepEqual(dreams.laidDreams([[], [models()]]), []);
});

test("dreams fit beside the photograph, by whole factors or made smaller, but are never tiny", () => {
  const row = (count, width) => ({ layers: Array.from({ length: count }, String), titles: [], name: "", image: { width, height: width / 2 } });
  assert.deepEqual(dreams.dreamSize(row(3, 128), 1136, 12, 1), { width: 256, height: 128, columns: 4, soft: false });
  assert.deepEqual(dreams.dreamSize(row(3, 400), 1136, 12, 1), { width: 275, height: 137.5, columns: 4, soft: true });
  assert.deepEqual(dreams.dreamSize(row(15, 256), 1136, 12, 1), { width: 128, height: 64, columns: 8, soft: true });
  assert.deepEqual(dreams.dreamSize(row(3, 128), 1136, 12, 8).width, 1136);
});
