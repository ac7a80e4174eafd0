import assert from "node:assert/strict";
import { test } from "node:test";
import * as film from "../../lightning_viz/plugin/static/components/film_strip_layout.js";
import * as tables from "../../lightning_viz/plugin/static/model/patch_tables.js";
import { cacheOf, record } from "./helpers.mjs";

/** Two units (4 and 7) of ten, three patches of 5x9 pixels each. */
const patches = (parts = {}) => record({
  method: "patches", pictures: [[11, 29, 3], [11, 29, 3]], meta: { units: [4, 7], k: 3, unit_count: 10 },
  values: { values: [10, 3], image_ids: [10, 3], positions: [10, 3, 2], boxes: [10, 3, 4] }, ...parts,
});

const urlOf = (one, name) => one.items.find((item) => item.name === name).url;
const table = (shape, make) => ({ shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, at) => make(at)) });

test("tiles are as large as the picture's shape says", () => {
  assert.deepEqual(tables.tileSize(patches()), { height: 5, width: 9 });
  assert.equal(tables.tileSize(patches({ pictures: [[12, 29, 3], [12, 29, 3]] })), null); // no whole tiles
  assert.equal(tables.tileSize(patches({ pictures: [[11, 29, 3]] })), null);
  assert.equal(tables.tileSize(patches({ pictures: [[], []] })), null); // kept by TensorBoard: shapes are not known
  assert.equal(tables.tileSize(patches({ meta: {} })), null);
});

test("a tile is cut out of the picture by unit and rank", () => {
  const one = patches();
  const [image, down] = [{}, {}];
  const blobs = cacheOf({ [urlOf(one, "picture 0")]: image, [urlOf(one, "picture 1")]: down });
  assert.deepEqual(tables.tileIn(blobs, one, "patch", 7, 2), { image, x: 20, y: 6, height: 5, width: 9 });
  assert.equal(tables.tileIn(blobs, one, "projection", 4, 0).image, down);
  assert.equal(tables.tileIn(blobs, one, "patch", 5, 0), null); // no picture of that unit
  assert.equal(tables.tileIn(cacheOf({}), one, "patch", 7, 0), null);
});

test("tables say something of each unit, in the order of strength", () => {
  const [flat, deep] = [table([4, 3], (at) => at), table([4, 3, 2], (at) => at)];
  assert.deepEqual(tables.entriesOf(flat, 2), [6, 7, 8]);
  assert.deepEqual(tables.entriesOf(flat, 2, 1), [7]);
  assert.deepEqual(tables.entriesOf(deep, 1, 2), [10, 11]);
  assert.deepEqual(tables.entriesOf(flat, 4), []);
  assert.deepEqual(tables.entriesOf(null, 0), []);
  const one = patches();
  assert.equal(tables.tableOf(cacheOf({ [urlOf(one, "values")]: flat }), one, "values"), flat);
  assert.equal(tables.tableOf(cacheOf({}), patches({ values: { values: [0, 3] } }), "values"), null);
});

test("how many units there are is said, or seen in the table", () => {
  assert.equal(tables.unitCount(patches()), 10);
  assert.equal(tables.unitCount(patches({ meta: {} })), 10);
  assert.equal(tables.unitCount(record()), 0);
  assert.deepEqual(tables.unitsIn(record({ meta: { units: "x" } })), []);
});

test("tiles of several records have the room of the widest and of the highest", () => {
  const tall = patches({ pictures: [[21, 17, 3], [21, 17, 3]] }); // 10 high, 5 wide
  assert.deepEqual(tables.proportions([patches(), tall]), { tall: 1, wide: 1 });
  assert.deepEqual(tables.proportions([tall]), { tall: 1, wide: 0.5 });
  assert.deepEqual(tables.proportions([]), { tall: 1, wide: 1 });
});

const evolution = (epoch, units = [4, 7], parts = {}) => patches({ method: "evolution", epoch, meta: { units, k: 3, unit_count: 10 }, ...parts });

test("a film has the epochs and units of all runs, its frames those of one", () => {
  const [own, other] = [[evolution(0), evolution(2)], [evolution(0, [1, 7]), evolution(5, [1, 7]), evolution(6, [], { error: "gone" })]];
  const made = film.filmOf(own, [...own, ...other], ["projection"]);
  assert.deepEqual([made.epochs, made.units, [...made.frames.keys()]], [[0, 2, 5], [1, 4, 7], [0, 2]]);
  assert.deepEqual(made.shape, { tall: 5 / 9, wide: 1 });
});

test("filters that see colours or grey make a film; others, and a method of a user's own, do not", () => {
  const weights = (shape, parts) => record({ values: { weight: shape }, ...parts });
  const films = [weights([2, 3, 4, 8]), weights([2, 1, 3, 3]), weights([2, 16, 3, 3]), weights([2, 3, 0, 3]), weights([2, 3, 3]), weights([2, 3, 4, 8], { method: "own" })];
  assert.deepEqual(films.map((one) => Boolean(film.pictorial(one))), [true, true, false, false, false, false]);
  const made = film.filmOf([films[0]], [films[0], films[2]], ["weights"]);
  assert.deepEqual([made.units, made.shape], [[0, 1], { tall: 0.5, wide: 1 }]);
});

test("columns fit into the room; where they are too many, the first, the last and that of the epoch stay", () => {
  const epochs = Array.from({ length: 200 }, (_, epoch) => epoch);
  const strip = { epochs, units: [0, 1, 2], frames: new Map(), lanes: ["projection"], shape: { tall: 1, wide: 1 } };
  for (const width of [60, 300, 1000]) {
    const layout = film.layFilm(strip, width, 77, 1);
    assert.ok(layout.epochs.includes(77) && layout.epochs[0] === 0 && layout.epochs.at(-1) === 199);
    assert.ok(layout.cell >= 24 && layout.width <= Math.max(width, 130), `${layout.width}`);
  }
  const few = film.layFilm({ ...strip, epochs: [0, 1, 2] }, 1000, 0, 1);
  assert.deepEqual([few.epochs, few.cell], [[0, 1, 2], 48]);
  assert.equal(film.layFilm({ ...strip, epochs: [0, 1, 2] }, 1000, 0, 2).cell, 96);
});

test("what lies where in a film, and back", () => {
  const strip = { epochs: [0, 2, 5], units: [4, 7], frames: new Map(), lanes: ["patch", "projection"], shape: { tall: 0.5, wide: 1 } };
  const layout = film.layFilm(strip, 1000, 0, 1);
  for (const [column, row, lane] of [[0, 0, 0], [2, 1, 1], [1, 0, 1]]) {
    const { left, top, width, height } = film.fieldOf(layout, column, row, lane);
    assert.ok(left + width <= layout.width && top + height <= layout.height);
    const hit = { column, row, epoch: strip.epochs[column], unit: strip.units[row] };
    for (const [x, y] of [[left, top], [left + width - 1, top + height - 1]]) assert.deepEqual(film.cellAt(layout, strip, { x, y }), hit);
  }
  assert.equal(film.cellAt(layout, strip, { x: -1, y: 0 }), null);
  assert.equal(film.cellAt(layout, strip, { x: 0, y: layout.height + 9 }), null);
});

test("a winner changed where another image comes first than at the drawing before", () => {
  const drawn = [evolution(0), evolution(1), evolution(3)];
  const winners = [(at) => at, (at) => (at === 3 ? 99 : at), (at) => (at === 3 ? 99 : at)]; // at 3: the first of unit 1
  const blobs = cacheOf(Object.fromEntries(drawn.map((one, place) => [urlOf(one, "image_ids"), table([10, 3], winners[place])])));
  const changed = (unit) => drawn.map((_, place) => film.winnerChanged(blobs, drawn, place, unit));
  assert.deepEqual([changed(1), changed(2)], [[false, true, false], [false, false, false]]);
  assert.equal(film.winnerChanged(cacheOf({}), drawn, 1, 1), false); // the tables are on their way
});
