import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import "./helpers.mjs";
import { cornerOf, isSilent, layOut, tileAt } from "../../lightning_viz/plugin/static/views/activations/tile_layout.js";

afterEach(() => {
  window.devicePixelRatio = 1;
});

test("maps are as large as all fit, in whole device pixels per value", () => {
  for (const ratio of [1, 1.5, 2]) {
    window.devicePixelRatio = ratio;
    const room = { width: 600, height: 400 };
    const tiles = layOut(20, { width: 10, height: 6 }, room, 1);
    assert.ok(tiles.width <= room.width && tiles.height <= room.height);
    const pixels = Math.round(tiles.scale * ratio);
    assert.ok(Math.abs(tiles.scale * ratio - pixels) < 1e-9);
    const [wider, taller] = [10 * (pixels + 1) / ratio, 6 * (pixels + 1) / ratio];
    const columns = Math.floor((room.width + 4) / (wider + 4));
    assert.ok(columns < 1 || Math.ceil(20 / columns) * (taller + 15 + 4) - 4 > room.height); // one pixel more would not fit
  }
});

test("maps are never illegible, rather too high", () => {
  const tiles = layOut(1000, { width: 5, height: 5 }, { width: 200, height: 100 }, 1);
  assert.deepEqual([tiles.tileWidth, tiles.label], [25, 15]);
  assert.ok(tiles.height > 100);
  assert.equal(layOut(1, { width: 600, height: 6 }, { width: 200, height: 100 }, 1).scale, 1);
});

test("zoom enlarges, and takes the numbers away where there is no room for them", () => {
  const lay = (zoom) => layOut(40, { width: 8, height: 8 }, { width: 400, height: 300 }, zoom);
  assert.equal(lay(2).scale, 2 * lay(1).scale);
  assert.equal(lay(0.25).label, 0);
});

test("a tile is found where it lies, to the value", () => {
  const tiles = layOut(7, { width: 9, height: 5 }, { width: 300, height: 200 }, 1);
  for (const place of [0, 3, 6]) {
    const { left, top } = cornerOf(tiles, place);
    const at = (x, y) => tileAt(tiles, 7, left + x, top + y);
    assert.deepEqual(at(4.5 * tiles.scale, 2.5 * tiles.scale), { place, x: 4, y: 2 });
    assert.deepEqual(at(0, tiles.tileHeight + 3), { place, x: 0, y: null }); // its number
    assert.equal(at(tiles.tileWidth + 1, 0), null);
    assert.equal(at(0, tiles.tileHeight + tiles.label + 1), null);
  }
  assert.equal(tileAt(tiles, 7, -1, 0), null);
  const { left, top } = cornerOf(tiles, 7);
  assert.equal(tileAt(tiles, 7, left + 1, top + 1), null);
});

test("a map of zeros is silent", () => {
  const maps = { shape: [2, 2, 1, 2], data: Float32Array.of(0, 0, 0, 1, 0, NaN, -0, 0) };
  assert.deepEqual([[0, 0], [0, 1], [1, 0], [1, 1]].map(([image, unit]) => isSilent(maps, image, unit)), [true, false, false, true]);
});
