import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Blobs } from "../../lightning_viz/plugin/static/io/blob_cache.js";
import { photographOf } from "../../lightning_viz/plugin/static/io/probe_images.js";
import { record } from "./helpers.mjs";

const SIDE = 1024; // 4 MiB a bitmap

/** Requests that were not answered yet, by address. @type {Map<string, {answer: (response: object) => void, signal: AbortSignal | undefined}>} */
const open = new Map();
let closed = 0;

globalThis.ImageBitmap = class {
  constructor() {
    Object.assign(this, { width: SIDE, height: SIDE });
  }

  close() {
    closed++;
  }
};
globalThis.createImageBitmap = async () => new ImageBitmap();
globalThis.OffscreenCanvas = class {
  constructor(width, height) {
    Object.assign(this, { width, height });
  }

  getContext() {
    return { drawImage: () => {}, getImageData: () => ({ data: new Uint8ClampedArray(4 * this.width * this.height) }) };
  }
};
globalThis.fetch = (url, { signal } = {}) =>
  new Promise((answer, refuse) => {
    assert.ok(!open.has(url), `${url} is asked for twice`);
    open.set(url, { answer, signal });
    signal?.addEventListener("abort", () => {
      open.delete(url);
      refuse(signal.reason);
    });
  });

/** What is put off by half a minute. @type {(() => void)[]} */
const later = [];
const soon = globalThis.setTimeout;
globalThis.setTimeout = (run) => later.push(run);

const settled = () => new Promise((done) => soon(done, 5));

async function answer(url, response = { ok: true, blob: async () => null }) {
  const { answer: tell } = open.get(url);
  open.delete(url);
  tell(response);
  await settled();
}

async function answerAll() {
  while (open.size) await answer([...open.keys()][0]);
}

const refs = (from, to) => Array.from({ length: to - from }, (_, place) => ({ url: `u${from + place}`, kind: "picture" }));

beforeEach(() => {
  open.clear();
  closed = 0;
});

test("the nearest are asked for first, few at once, none twice", async () => {
  let arrivals = 0;
  const blobs = new Blobs(() => arrivals++);
  blobs.want(refs(0, 2), refs(2, 20));
  assert.deepEqual([...open.keys()], ["u0", "u1", "u2", "u3", "u4", "u5"]);
  await answer("u0");
  blobs.want(refs(0, 2), refs(2, 20));
  assert.deepEqual([...open.keys()], ["u1", "u2", "u3", "u4", "u5", "u6"]);
  await answer("u3");
  assert.equal(arrivals, 1); // what is not on the screen makes no noise
  assert.ok(blobs.get("u0") && blobs.get("u3") && !blobs.get("u1"));
});

test("what is not wanted any more is given up", async () => {
  const blobs = new Blobs(() => {});
  blobs.want(refs(0, 6), []);
  blobs.want(refs(5, 7), []);
  await settled();
  assert.deepEqual([...open.keys()], ["u5", "u6"]);
  assert.equal(blobs.failure("u0"), null);
});

test("why something will not come is kept until it is not wanted any more", async () => {
  const blobs = new Blobs(() => {});
  blobs.want(refs(0, 2), []);
  await answer("u0", { ok: false, status: 404, json: async () => ({ error: "It is gone." }) });
  await answer("u1", { ok: false, status: 502, json: async () => JSON.parse("<html>") });
  assert.deepEqual([blobs.failure("u0"), blobs.failure("u1")], ["It is gone.", "TensorBoard answered 502"]);
  blobs.want([], []);
  assert.equal(blobs.failure("u0"), null);
});

test("memory is bounded: the longest unused goes, and what is on the screen stays", async () => {
  const blobs = new Blobs(() => {});
  for (let at = 0; at < 60; at += 6) {
    blobs.want(refs(at, at + 6), []);
    await answerAll();
    blobs.get("u0");
  }
  const kept = refs(0, 60).filter(({ url }) => blobs.get(url)).map(({ url }) => url);
  assert.equal(kept.length, 96 / 4);
  assert.ok(kept.includes("u0") && kept.includes("u59") && !kept.includes("u1"));
  assert.equal(closed, 60 - kept.length);
  blobs.want(refs(100, 140), []); // more than there is room for, all of it on the screen
  await answerAll();
  assert.ok(refs(100, 140).every(({ url }) => blobs.get(url)));
  blobs.want(refs(100, 140), refs(140, 150));
  assert.equal(open.size, 0); // nothing ahead of time while there is no room
});

test("an image of a probe is fetched once for all runs, and its memory is bounded", async () => {
  const [one, other] = ["first", "second"].map((run) => record({ probe: "p", photographs: `${run}/` }));
  assert.equal(photographOf(record(), 0), null);
  assert.equal(photographOf(one, 0), undefined);
  assert.equal(photographOf(other, 0), undefined);
  assert.deepEqual([...open.keys()], ["first/0"]);
  await answerAll();
  assert.equal(photographOf(other, 0), photographOf(one, 0));
  assert.equal(photographOf(one, 0).grey.length, SIDE * SIDE);
  for (let image = 1; image < 9; image++) {
    photographOf(one, image);
    await answerAll();
  }
  const there = Array.from({ length: 9 }, (_, image) => photographOf(one, image)).filter(Boolean);
  assert.equal(there.length, Math.floor(64 / 12));
  assert.equal(closed, 0); // it may still be on the screen
});

test("a store without images is not asked for each of them, but again after a while", async () => {
  const one = record({ probe: "q", photographs: "none/" });
  photographOf(one, 0);
  await answer("none/0", { ok: false, status: 404, json: async () => null });
  assert.deepEqual([photographOf(one, 0), photographOf(one, 1)], [null, null]);
  assert.equal(open.size, 0);
  later.forEach((run) => run());
  assert.equal(photographOf(one, 1), undefined);
});
