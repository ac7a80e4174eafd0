import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNpy } from "../../lightning_viz/plugin/static/io/npy.js";
import { beside, bytesOf, peers } from "./helpers.mjs";

const numbers = (list) => list.map((text) => Number(text.replace("nan", "NaN").replace("inf", "Infinity")));

test("files of NumPy are read, whatever their number of axes", beside, () => {
  for (const { file, shape, values } of peers.files.good) {
    const found = parseNpy(bytesOf(file));
    assert.deepEqual(found.shape, shape);
    assert.deepEqual([...found.data], numbers(values).map(Math.fround));
  }
});

test("a header of the second version has four bytes for its length", beside, () => {
  const { file, values } = peers.files.second;
  assert.deepEqual([...parseNpy(bytesOf(file)).data], numbers(values).map(Math.fround));
});

test("what is not little-endian float32, rows first, is refused", beside, () => {
  for (const file of peers.files.bad) assert.throws(() => parseNpy(bytesOf(file)), /not a whole float32/);
});

test("a file that is cut off is refused at any length", beside, () => {
  const whole = bytesOf(peers.files.good[0].file);
  for (const length of [0, 5, 11, 60, 128, whole.byteLength - 1]) assert.throws(() => parseNpy(whole.slice(0, length)), /not a/);
});

test("something else is refused", () => {
  assert.throws(() => parseNpy(new TextEncoder().encode("<!doctype html><title>404</title>").buffer), /not a .npy file/);
});
