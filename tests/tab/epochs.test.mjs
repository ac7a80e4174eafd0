import assert from "node:assert/strict";
import { test } from "node:test";
import { along, around, ascending, epochsOfSteps, nearest, nearestPlace, pairsFromEpochScalar } from "../../lightning_viz/plugin/static/model/epochs.js";

test("epochs are ascending, by number, each once", () => {
  assert.deepEqual(ascending([10, 9, 2.5, 9, 0]), [0, 2.5, 9, 10]);
});

test("the nearest epoch; of equally close ones the later", () => {
  assert.equal(nearest([0, 2, 4], 2.9), 2);
  assert.equal(nearest([0, 2, 4], 3), 4);
  assert.equal(nearest([0, 2, 4], 99), 4);
  assert.equal(nearestPlace([0, 2, 4], -7), 0);
  assert.equal(nearestPlace([], 1), -1);
  assert.equal(nearest([], 1), NaN);
});

test("steps stay within the ends", () => {
  const epochs = [0, 1, 5, 9];
  assert.deepEqual([1, 2, 10, Infinity, -1, -Infinity].map((by) => along(epochs, 1, by)), [5, 9, 9, 9, 0, 0]);
});

test("the neighbours of an epoch that is missing, and of one that is there", () => {
  assert.deepEqual(around([0, 2, 6], 3), [2, 6]);
  assert.deepEqual(around([0, 2, 6], 2), [0, 6]);
  assert.deepEqual(around([0, 2, 6], 7), [6]);
  assert.deepEqual(around([], 7), []);
});

test("steps become epochs in straight lines between known pairs, and beyond them", () => {
  const epochOf = epochsOfSteps([{ epoch: 2, step: 20 }, { epoch: 0, step: 0 }, { epoch: 1, step: 5 }]);
  assert.deepEqual([0, 2.5, 5, 12.5, 20, 35, -5].map(epochOf), [0, 0.5, 1, 1.5, 2, 3, -1]);
});

test("of pairs that contradict each other the later of a step counts, and epochs never fall", () => {
  const epochOf = epochsOfSteps([{ epoch: 0, step: 0 }, { epoch: 1, step: 0 }, { epoch: 0.5, step: 4 }, { epoch: 2, step: 10 }]);
  assert.equal(epochOf(5), 1.5);
  assert.equal(epochsOfSteps([{ epoch: 1, step: 3 }, { epoch: 1, step: 9 }]), null);
  assert.equal(epochsOfSteps([]), null);
});

test("Lightning's own scalar says where epochs end", () => {
  const pairs = pairsFromEpochScalar({ steps: [4, 9, 14, 19, 24], values: [0, 0, 1, 1, "NaN"] });
  assert.deepEqual(pairs, [{ epoch: 0, step: 0 }, { epoch: 1, step: 9 }, { epoch: 2, step: 19 }]);
});
