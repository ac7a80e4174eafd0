import assert from "node:assert/strict";
import { test } from "node:test";
import { apart, beside, peers, picture, values } from "./helpers.mjs";
import { boxOf, drawFilters, layoutOf, locate } from "../../lightning_viz/plugin/static/render/filter_grid.js";
import * as maps from "../../lightning_viz/plugin/static/render/maps.js";
import { classColour, finiteRange, linear, palette } from "../../lightning_viz/plugin/static/render/palettes.js";
import * as text from "../../lightning_viz/plugin/static/render/text.js";

test("palettes and the colours of classes are those of Python", beside, () => {
  for (const [name, colours] of Object.entries(peers.palettes)) assert.deepEqual(palette(name), colours);
  assert.deepEqual(peers.classes.map((_, label) => classColour(label)), peers.classes);
  assert.deepEqual(classColour(-1), classColour(NaN));
});

test("pictures of filters are those of Python, to the last bit", beside, () => {
  for (const one of peers.filters) assert.deepEqual(picture(drawFilters(values(one.values), null)), one.picture);
});

test("each pixel of a picture of filters belongs to the unit that lies there", beside, () => {
  for (const { values: file } of peers.filters) {
    const filters = values(file);
    const layout = layoutOf(filters.shape);
    for (let unit = 0; unit < layout.units; unit++) {
      const { left, top, width, height } = boxOf(layout, unit);
      assert.equal(locate(layout, left, top).unit, unit);
      assert.equal(locate(layout, left + width - 1, top + height - 1).unit, unit);
      assert.equal(maps.partOf(filters, unit).length, filters.data.length / filters.shape[0]);
    }
    const { width, height, tileWidth } = layout;
    assert.deepEqual([[-1, 0], [0, -1], [width, 0], [0, height], [tileWidth, 0]].map(([x, y]) => locate(layout, x, y)), Array(5).fill(null));
  }
});

const grid = (file) => maps.gridAt(values(file));
const below = ({ data, width, height }) => ({ data: data.subarray(width), width, height: height - 1 }); // without the odd ones

test("maps in a palette are those of Python, and so is what is not finite", beside, () => {
  const map = grid(peers.maps.values);
  assert.deepEqual(picture(maps.drawMap(map, { low: 0, high: 1.5 }, "heat")), peers.maps.heat);
  assert.deepEqual(picture(maps.drawMap(map, { low: 0, high: 1.5 }, "grey")), peers.maps.grey);
  assert.deepEqual(picture(maps.drawMap(map, { low: -1.5, high: 1.5 }, "diverging")), peers.maps.diverging);
});

test("a range of nothing looks like nothing, not like half; around zero it is the middle", () => {
  const draw = (colours) => picture(maps.drawMap({ data: Float32Array.of(0, 3), height: 1, width: 2 }, { low: 0, high: 0 }, colours))[0];
  for (const colours of ["heat", "grey"]) assert.deepEqual(draw(colours), Array(2).fill(palette(colours)[0]));
  assert.deepEqual(draw("diverging"), Array(2).fill(palette("diverging")[128]));
});

test("maps are enlarged as in Python", beside, () => {
  const { data } = maps.resize(below(grid(peers.maps.values)), 7, 12);
  assert.ok(apart([...data], peers.maps.resized) < 1e-6);
});

test("a map over a photograph is that of Python", beside, () => {
  const photograph = { grey: Float32Array.from(peers.maps.photograph.flat(), ([red, green, blue]) => (red + green + blue) / 3), height: 7, width: 12 };
  const drawn = maps.drawOverlay(below(grid(peers.maps.values)), { low: 0, high: 1.5 }, photograph, 0.25, "heat");
  assert.ok(apart(picture(drawn), peers.maps.overlay) <= 1);
});

test("signed values lie at their place in the image, or in a part of it", beside, () => {
  const signed = values(peers.maps.signed);
  const [box, whole] = [{ top: 2, left: 1, height: 4, width: 6 }, { top: 0, left: 0, height: 7, width: 12 }];
  const draw = (frame) => picture(maps.drawSigned(signed, 0, box, 1.5, frame));
  assert.ok(apart(draw(whole), peers.maps.reconstruction) <= 1);
  const part = peers.maps.reconstruction.slice(3, 7).map((row) => row.slice(4, 9));
  assert.ok(apart(draw({ top: 3, left: 4, height: 4, width: 5 }), part) <= 1);
  const two = { shape: [1, 2, 4, 6], data: signed.data.subarray(0, 48) };
  assert.ok(apart(picture(maps.drawSigned(two, 0, box, 1.5, whole)), peers.maps.mean) <= 1);
});

test("classes have their colours, whatever is no class grey", () => {
  const drawn = picture(maps.drawClasses({ data: Float32Array.of(0, 21, -1), height: 1, width: 3 }));
  assert.deepEqual(drawn, [[classColour(0), classColour(21), classColour(-1)]]);
});

test("ranges are of what is finite", () => {
  assert.deepEqual(finiteRange(Float32Array.of(3, NaN, -2, Infinity, -Infinity)), { low: -2, high: 3 });
  assert.deepEqual(finiteRange(Float32Array.of(NaN, Infinity)), { low: 0, high: 0 });
  assert.deepEqual(finiteRange(new Float32Array()), { low: 0, high: 0 });
  assert.equal(maps.largest(Float32Array.of(1, -3, NaN, Infinity, -Infinity)), 3);
  assert.equal(maps.largest(new Float32Array()), 0);
});

test("bytes are clipped, and a range of nothing is what one asks for", () => {
  const toByte = linear({ low: -1, high: 1 });
  assert.deepEqual([-9, -1, 0, 1, 9].map(toByte), [0, 0, 128, 255, 255]);
  assert.equal(linear({ low: 2, high: 2 })(5), 128);
  assert.equal(linear({ low: 2, high: 2 }, 0)(5), 0);
  assert.equal(linear({ low: -3e38, high: 3e38 })(0), 128); // their difference has no float32
});

test("numbers have three digits and a true minus", () => {
  assert.deepEqual([0, 1234.5, -0.25, 1e-4, 123456, 1e-10].map(text.number), ["0", "1230", "\u22120.25", "1.00e\u22124", "1.23e+5", "1.00e\u221210"]);
  assert.deepEqual(["NaN", "-Infinity", Infinity, undefined].map(text.number), ["NaN", "\u2212\u221e", "\u221e", "NaN"]);
  assert.deepEqual([0, 0.004, 0.5, 1, 1.5, -1].map(text.share), ["0%", "<1%", "50%", "100%", "1.5", "\u22121"]);
  assert.deepEqual([2, 2.0001, 0.3333].map(text.epochText), ["2", "2", "0.333"]);
});

test("words are made of names", () => {
  assert.deepEqual(["filter_norms", "", "_"].map(text.title), ["Filter norms", "Untitled", "Untitled"]);
  assert.deepEqual([0.12345, 3, "sgd", null, [1, 2], undefined].map(text.parameter), ["0.123", "3", "sgd", "null", "[1,2]", ""]);
  assert.deepEqual([text.plenty(1, "point"), text.plenty(0, "point")], ["1 point", "0 points"]);
});
