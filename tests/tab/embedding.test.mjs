import assert from "node:assert/strict";
import { test } from "node:test";
import { placesOf, roomNeeded } from "../../lightning_viz/plugin/static/views/embedding/extents.js";
import { snap } from "../../lightning_viz/plugin/static/views/embedding/grid_layout.js";
import { nearestPoint, pointsInside, sortIntoBuckets } from "../../lightning_viz/plugin/static/views/embedding/point_index.js";
import { align, STILL } from "../../lightning_viz/plugin/static/views/embedding/procrustes.js";
import { beside, cacheOf, peers, randomly, record } from "./helpers.mjs";

const near = (one, other, reach = 1e-5) => assert.ok(Math.abs(one - other) <= reach, `${one} is not ${other}`);
const floats = (...numbers) => Float32Array.from(numbers);

test("a layout is laid upon another as SciPy does it, mirrored or not", beside, () => {
  for (const { points, reference, motion } of peers.motions) {
    const found = align(floats(...points), floats(...reference));
    for (const [name, value] of Object.entries(motion)) near(found[name], value);
  }
});

test("points without a place are left out of the alignment; without any, nothing moves", () => {
  const [points, reference] = [[0, 0, 1, 0, 0, 2], [5, 5, 5, 6, 3, 5]];
  const alone = align(floats(...points), floats(...reference));
  const found = align(floats(NaN, 0, ...points, 7, 7), floats(9, 9, ...reference, NaN, Infinity));
  for (const name of Object.keys(alone)) near(found[name], alone[name]);
  near(alone.b, -1);
  assert.equal(align(floats(NaN, NaN), floats(1, 2)), STILL);
});

test("each point gets a place of its own on the grid, the same each time, near where it was", () => {
  const room = { width: 500, height: 400 };
  for (const count of [1, 2, 7, 60, 997, 10_000]) {
    const random = randomly(count);
    const points = Float32Array.from({ length: 2 * count + 2 }, (_, at) => (at < 2 * count ? random() * (at % 2 ? room.height : room.width) : NaN));
    const found = snap(points, room, 1);
    assert.deepEqual(snap(points, room, 1), found);
    assert.ok(found.columns * found.rows >= count && found.columns * (found.rows - 1) < count);
    const seen = new Set();
    let moved = 0;
    const [left, top] = [(room.width - found.columns * found.width) / 2, (room.height - found.rows * found.height) / 2];
    for (let at = 0; at < 2 * count; at += 2) {
      const [column, row] = [(found.places[at] - left) / found.width - 0.5, (found.places[at + 1] - top) / found.height - 0.5];
      near(column, Math.round(column), 1e-3);
      near(row, Math.round(row), 1e-3);
      assert.ok(column > -0.1 && row > -0.1 && Math.round(column) < found.columns && Math.round(row) < found.rows);
      seen.add(Math.round(row) * found.columns + Math.round(column));
      moved += Math.hypot(found.places[at] - points[at], found.places[at + 1] - points[at + 1]) / count;
    }
    assert.equal(seen.size, count);
    assert.ok([...seen].every((place) => place < count)); // row by row, only the last row not to its end
    assert.deepEqual([...found.places.slice(-2)], [NaN, NaN]);
    if (count >= 60) assert.ok(moved < 60, `${moved}`); // by chance it would be 230
  }
});

test("tiles on a grid keep their proportions, and stay inside", () => {
  const random = randomly(5);
  const points = Float32Array.from({ length: 40 }, random);
  const { columns, rows, width, height, places } = snap(points, { width: 300, height: 100 }, 2);
  near(width, 2 * height);
  assert.ok(columns * width <= 300.001 && rows * height <= 100.001);
  for (let at = 0; at < 40; at += 2) assert.ok(places[at] >= width / 2 - 1e-3 && places[at] <= 300 - width / 2 + 1e-3);
  assert.deepEqual(snap(floats(NaN, NaN), { width: 10, height: 10 }, 1).places, floats(NaN, NaN));
});

test("the nearest point equals that of SciPy's tree, and those in a lasso half-planes", beside, () => {
  const { points, at, nearest, triangle, inside } = peers.looks;
  const buckets = sortIntoBuckets(floats(NaN, NaN, ...points));
  const found = at.map(([x, y]) => nearestPoint(buckets, x, y, 12));
  assert.deepEqual(found, nearest.map((place) => (place < 0 ? -1 : place + 1)));
  assert.ok(found.includes(-1) && new Set(found).size > 10);
  assert.deepEqual(pointsInside(floats(...points), triangle), inside);
});

test("among no points nothing is found; of equally near ones the first", () => {
  assert.equal(nearestPoint(sortIntoBuckets(floats()), 0, 0, 9), -1);
  assert.equal(nearestPoint(sortIntoBuckets(floats(NaN, 3)), 0, 0, 9), -1);
  assert.equal(nearestPoint(sortIntoBuckets(floats(0, 0, 30, 0, 10, 0)), 5, 0, 9), 0);
});

const motion = { a: 0, b: -1, c: 1, d: 0, x0: 10, y0: 0 }; // a quarter turn, and a shift

test("points stand in the middle of their room, y upwards, those without a place nowhere", () => {
  const layout = { shape: [3, 2], data: floats(0, 0, 2, 4, NaN, 1) };
  const extent = { left: 0, right: 2, top: 0, bottom: 4 };
  assert.deepEqual([...placesOf(layout, STILL, extent, 10, { width: 100, height: 80 })], [40, 60, 60, 20, NaN, NaN]);
  assert.deepEqual([...placesOf(layout, motion, extent, 1, { width: 2, height: 2 })], [10, 3, 6, 1, NaN, NaN]);
});

test("linked runs share the room that all their epochs need; others have their own", () => {
  const drawn = [0, 1, 2].map((epoch) => record({ method: "embedding", epoch, values: { layout: [2, 2] } }));
  const data = [floats(0, 0, 1, 1), floats(-5, 0, 0, 2), floats(100, 100, NaN, 0)];
  const blobs = cacheOf(Object.fromEntries(drawn.map(({ items: [{ url }] }, place) => [url, { shape: [2, 2], data: data[place] }])));
  const column = (record, linked, moved = STILL) => ({ drawn: [record], linked, motion: moved });
  const columns = [column(drawn[0], true), column(drawn[1], true, motion), column(drawn[2], false)];
  const shared = { left: 0, right: 10, top: -5, bottom: 1 };
  assert.deepEqual(roomNeeded(columns, blobs), { whole: true, extents: [shared, shared, { left: 100, right: 100, top: 100, bottom: 100 }] });
  assert.equal(roomNeeded(columns, cacheOf({})).whole, false);
});
