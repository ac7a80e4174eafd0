import assert from "node:assert/strict";
import { test } from "node:test";
import * as records from "../../lightning_viz/plugin/static/model/records.js";
import { currentTag, shownRecords, shownRuns, shownTags } from "../../lightning_viz/plugin/static/model/selection.js";
import { INITIAL, recordsCame, runsCame } from "../../lightning_viz/plugin/static/model/state.js";
import { layersWithUnits, neighbour, unitsOf } from "../../lightning_viz/plugin/static/model/units.js";
import { record } from "./helpers.mjs";

const at = (epoch, parts = {}) => record({ epoch, ...parts });

test("records are found by method and layer, in the order of epochs", () => {
  const list = [at(2), at(0), at(1, { layer: "fc" }), at(1, { method: "patches" }), at(1)];
  assert.deepEqual(records.history(list, "filters", "conv").map((one) => one.epoch), [0, 1, 2]);
  assert.deepEqual(records.methodsOf(list).sort(), ["filters", "patches"]);
  assert.deepEqual(records.layersOf([list, []], "filters"), ["conv", "fc"]);
  assert.deepEqual(records.epochsOf([list, [at(7)]], ["filters", "patches"]), [0, 1, 2, 7]);
  assert.deepEqual(records.history(list, "none", "conv"), []);
});

test("each callback of a method has rows of its own, and failures of its own", () => {
  const named = (name, layer, parts = {}) => records.inRow(at(1, { name, layer, ...parts }));
  const rows = [["filters", "conv"], ["filters shared", "conv"], ["mine", "conv"], ["filters fc", "fc"], ["filters shared", ""]].map(([name, layer]) => named(name, layer).layer);
  assert.deepEqual(rows, ["conv", "conv · shared", "conv · mine", "fc", ""]);
  const list = [named("filters", "conv"), named("mine", "conv"), named("mine", "", { error: "gone", epoch: 2 })];
  assert.deepEqual(records.layersOf([list], "filters"), ["conv", "conv · mine"]);
  for (const find of [records.recordAt, records.latestUntil]) {
    assert.equal(find(list, "filters", "conv", 2).error, null);
    assert.equal(find(list, "filters", "conv · mine", 2).error, "gone");
  }
});

test("a layer is found in the row of its own name, else in that of the layer, else in the first of it", () => {
  const list = [at(0), at(0, { layer: "conv · mine" }), at(0, { layer: "fc · a" }), at(0, { layer: "fc · b" }), at(0, { method: "patches" })];
  const found = ["conv", "conv · mine", "conv · other", "fc", "fc · b", "fc · c", "none"].map((row) => records.rowOf([list], ["filters"], row));
  assert.deepEqual(found, ["conv", "conv · mine", "conv", "fc · a", "fc · b", "fc · a", "none"]);
  assert.equal(records.rowOf([list], ["patches"], "conv · mine"), "conv");
});

test("a layer whose every drawing failed has nothing to see", () => {
  assert.deepEqual(records.layersOf([[at(0, { error: "gone" }), at(0, { layer: "fc" })]], "filters"), ["fc"]);
});

test("the record of an epoch, or why there is none", () => {
  const [good, failed] = [at(1), at(2, { layer: "", error: "gone" })];
  const list = [at(0), good, failed, at(3, { error: "this layer" })];
  assert.deepEqual(records.recordAt(list, "filters", "conv", 1), { record: good, error: null });
  assert.deepEqual(records.recordAt(list, "filters", "conv", 2), { record: null, error: "gone" });
  assert.deepEqual(records.recordAt(list, "filters", "conv", 3), { record: null, error: "this layer" });
  assert.deepEqual(records.recordAt(list, "filters", "conv", 4), { record: null, error: null });
  const both = [at(1, { error: "first" }), good]; // drawn after all
  assert.deepEqual(records.recordAt(both, "filters", "conv", 1), { record: good, error: null });
});

test("the newest record until an epoch, and why none is newer", () => {
  const [first, second] = [at(1), at(4)];
  const list = [second, first, at(2, { error: "gone" }), at(3, { layer: "", error: "all gone" })];
  assert.deepEqual(records.latestUntil(list, "filters", "conv", 1), { record: first, error: null, at: undefined });
  assert.deepEqual(records.latestUntil(list, "filters", "conv", 2.5), { record: first, error: "gone", at: 2 });
  assert.deepEqual(records.latestUntil(list, "filters", "conv", 9), { record: second, error: null, at: undefined });
  assert.deepEqual(records.latestUntil(list, "filters", "conv", 0), { record: null, error: null, at: undefined });
});

test("one drawn record per epoch: the newest of it", () => {
  const list = [at(1), at(0), at(2, { error: "gone" }), at(1)];
  assert.deepEqual(records.drawnRecords(list, "filters", "conv"), [list[1], list[3]]);
});

test("runs of different images are told apart; methods without images do not count", () => {
  const [one, other] = [at(0, { probe: "a" }), at(0, { probe: "b" })];
  assert.equal(records.otherProbes([[one], [other]], ["filters"]), true);
  assert.equal(records.otherProbes([[one], [one, at(1)]], ["filters"]), false);
  assert.equal(records.otherProbes([[one], [other]], ["patches"]), false);
});

test("of equal identity the newer record stays", () => {
  const [old, fresh, more] = [at(1, { batches: 9 }), at(1, { batches: 9 }), at(2, { batches: 18 })];
  assert.deepEqual(records.merge([old], [fresh, more]).map((one) => one.seq), [fresh.seq, more.seq]);
  const [one, other] = ["one", "other"].map((name) => at(1, { name, batches: 9 }));
  assert.deepEqual(records.merge([one], [other]), [one, other]); // two callbacks of a method
});

test("kept images become records, their steps epochs", () => {
  const image = (tag, step) => ({ tag, step, wall_time: step, key: `${tag} ${step}` });
  const images = [image("lightning_viz/grad_cam/a/b/0", 9), image("lightning_viz/grad_cam/a/b/1", 9), image("viz/filters/conv", 19), image("other/tag", 1)];
  const made = records.recordsFromKept({ images, limit: 10 }, [{ epoch: 0, step: 0 }, { epoch: 2, step: 18 }]);
  assert.deepEqual(made.map(({ method, layer, epoch }) => [method, layer, epoch]), [["grad_cam", "a/b", 1], ["filters", "conv", 2.11]]);
  assert.deepEqual(made[0].items.map(({ kind, name }) => [kind, name]), [["picture", "picture 0"], ["picture", "picture 1"]]);
  assert.match(made[0].items[0].url, /kept_image\?key=lightning_viz%2Fgrad_cam%2Fa%2Fb%2F0%209$/);
  assert.deepEqual(records.recordsFromKept({ images: images.slice(2, 3), limit: 0 }, []).map((one) => one.epoch), [19]);
});

const run = (name) => ({ run: name, source: "store", model: "", hyper_parameters: {}, last_seq: 1, started: 0, skipped: {} });

test("a few runs are shown until somebody chooses; a link to runs that are gone chooses nothing", () => {
  const state = runsCame(INITIAL, ["v10", "v2", "v1", "x", "y", "z"].map(run));
  const names = (chosen) => shownRuns({ ...state, chosen }).map((one) => one.run);
  assert.deepEqual(names(null), ["v1", "v2", "v10", "x", "y"]);
  assert.deepEqual(names(["z", "v2", "gone"]), ["v2", "z"]);
  assert.deepEqual(names(["gone"]), names(null));
  assert.deepEqual(names([]), []);
  assert.deepEqual(state.order, ["v10", "v2", "v1", "x", "y", "z"]);
  const more = runsCame(state, ["a", "v10", "v2", "x", "y", "z"].map(run)); // v1 is gone, a new
  assert.deepEqual(more.automatic, ["v2", "v10", "x", "y", "a"]);
  assert.deepEqual(more.order, [...state.order, "a"]);
  assert.equal(runsCame(more, ["a", "v10", "v2", "x", "y", "z"].map(run)).runs, more.runs);
});

test("records that come are added, or replace those of a run that was written anew", () => {
  const [old, fresh] = [at(0), at(1)];
  const state = recordsCame(runsCame(INITIAL, [run("a"), run("b")]), "a", [old], true);
  assert.deepEqual(shownRecords(recordsCame(state, "a", [fresh], false)), [[old, fresh], []]);
  assert.deepEqual(shownRecords(recordsCame(state, "a", [fresh], true)), [[fresh], []]);
});

test("the usual curve is the training loss", () => {
  const tagOf = (tags, tag = null) => currentTag({ ...runsCame(INITIAL, [run("a"), run("b")]), tags: { a: tags, b: [] }, tag });
  assert.equal(tagOf(["acc", "val_loss", "train_loss"]), "train_loss");
  assert.equal(tagOf(["val_loss", "test_loss", "Loss"]), "Loss");
  assert.equal(tagOf(["epoch", "hp_metric", "val_loss"]), "val_loss");
  assert.equal(tagOf(["epoch", "hp_metric", "acc"]), "acc");
  assert.equal(tagOf(["epoch"]), null);
  assert.equal(tagOf(["acc", "loss"], "acc"), "acc");
  assert.equal(tagOf(["loss"], "gone"), "loss");
  const state = { ...runsCame(INITIAL, [run("a"), run("b")]), tags: { a: ["x", "y"], b: ["y", "z"] } };
  assert.deepEqual(shownTags(state), ["x", "y", "z"]);
});

test("how many units a layer has: of any method that says so", () => {
  const lists = [[at(0, { values: { weight: [8, 3, 5, 5] } })], [at(0, { method: "activations", layer: "fc", values: { maps: [2, 3, 4, 5], activity: [2, 16] } })]];
  const methods = ["filters", "activations"];
  assert.deepEqual(layersWithUnits(lists, methods), ["conv", "fc"]);
  assert.deepEqual(["conv", "fc", "gone"].map((layer) => unitsOf(lists, methods, layer)), [8, 16, 0]);
  assert.equal(unitsOf([[at(0, { method: "evolution", meta: { unit_count: 9 } })]], ["evolution"], "conv"), 9);
  assert.deepEqual([-1, 1, 99].map((by) => neighbour(lists, methods, { layer: "conv", unit: 0 }, by)), [0, 1, 7]);
});
