/** Fetches what the page shows, and looks again every few seconds, so that a running training grows on the screen. */

import { fetchKept, fetchRecords, fetchRuns, fetchSeries, fetchTags } from "../io/api.js";
import { onDataReloaded, visible } from "../io/host.js";
import { pairsFromEpochScalar } from "../model/epochs.js";
import { inRow, recordsFromKept } from "../model/records.js";
import { currentTag, shownRuns } from "../model/selection.js";
import { assignEntry, linkLost, recordsCame, runsCame, seriesKey } from "../model/state.js";

const PACE = 5_000;
/** When nothing has changed for a while. */
const SLOW_PACE = 30_000;
const A_WHILE = 300_000;

/**
 * @param {{get: () => State, dispatch: Dispatch}} store
 */
export function startLive({ get, dispatch }) {
  /** @type {Map<string, {last: number, started: number | null}>} What we have of a run: until which `seq`, since when. */
  const seen = new Map();
  /** @type {Set<string>} */
  const running = new Set();
  let before = "";
  let changedAt = Date.now();
  let timer = 0;
  let busy = false;
  let hidden = false;

  async function look() {
    if (busy) return;
    busy = true;
    clearTimeout(timer);
    try {
      const runs = await fetchRuns();
      if (JSON.stringify(runs) !== before) changedAt = Date.now();
      before = JSON.stringify(runs);
      dispatch(runsCame, runs);
      await loadShown(true);
    } catch (error) {
      dispatch(linkLost, error instanceof Error ? error.message : String(error));
    }
    busy = false;
    timer = window.setTimeout(wait, Date.now() - changedAt < A_WHILE ? PACE : SLOW_PACE);
  }

  function wait() {
    hidden = !visible();
    if (!hidden) look();
  }

  /** TensorBoard gives our frame its size back, or the browser its tab. */
  function appear() {
    if (hidden) wait();
  }

  /** @param {boolean} again  Also what may have grown since. */
  async function loadShown(again) {
    await Promise.all(
      shownRuns(get()).map(async (run) => {
        await Promise.all([
          attempt(run, "records", () => loadRecords(run, again)),
          attempt(run, `scalars ${get().tag}`, () => loadTags(run, again).then(() => loadCurve(run, again))),
        ]);
      }),
    );
  }

  /**
   * @param {Run} run
   * @param {string} what
   * @param {() => Promise<void>} action
   */
  async function attempt({ run }, what, action) {
    const key = JSON.stringify([run, what]);
    if (running.has(key)) return;
    running.add(key);
    try {
      await action();
      if (get().problems[run]) dispatch(assignEntry, "problems", run, "");
    } catch (error) {
      dispatch(assignEntry, "problems", run, error instanceof Error ? error.message : String(error));
    }
    running.delete(key);
  }

  /** @type {(run: Run, again: boolean) => Promise<void>} */
  async function loadRecords(run, again) {
    const name = run.run;
    if (run.source === "images") {
      if (again || !get().kept[name]) await loadKept(name);
      return;
    }
    const { last, started } = seen.get(name) ?? { last: -1, started: null };
    if (run.last_seq === last && run.started === started) return;
    // A run that was deleted and written anew begins later, however far it has come.
    const anew = last < 0 || run.last_seq < last || run.started !== started;
    const records = (await fetchRecords(name, anew ? 0 : last)).map(inRow);
    seen.set(name, { last: run.last_seq, started: run.started });
    dispatch(recordsCame, name, records, anew);
  }

  /** @param {string} run */
  async function loadKept(run) {
    const kept = await fetchKept(run);
    if (JSON.stringify(kept) === JSON.stringify(get().kept[run])) return;
    const epochs = await fetchSeries(run, "epoch").catch(() => null);
    const known = Object.values(get().records).find((records) => records.some((record) => record.epoch > 0)) ?? [];
    dispatch(assignEntry, "kept", run, kept);
    dispatch(recordsCame, run, recordsFromKept(kept, epochs ? pairsFromEpochScalar(epochs) : known), true);
  }

  /** @type {(run: Run, again: boolean) => Promise<void>} */
  async function loadTags({ run }, again) {
    if (!again && get().tags[run]) return;
    const tags = await fetchTags(run);
    if (JSON.stringify(tags) !== JSON.stringify(get().tags[run])) dispatch(assignEntry, "tags", run, tags);
  }

  /** @type {(run: Run, again: boolean) => Promise<void>} */
  async function loadCurve({ run }, again) {
    const tag = currentTag(get());
    if (tag === null || !get().tags[run]?.includes(tag)) return;
    const key = seriesKey(run, tag);
    const known = get().series[key];
    if (known && !again) return;
    const series = await fetchSeries(run, tag);
    if (series.steps.length !== known?.steps.length || series.steps.at(-1) !== known.steps.at(-1)) {
      changedAt = Date.now();
      dispatch(assignEntry, "series", key, series);
    }
  }

  onDataReloaded(look);
  window.addEventListener("resize", appear);
  document.addEventListener("visibilitychange", appear);
  look();
  return { look, load: () => loadShown(false) };
}
