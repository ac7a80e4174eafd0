/** The page: what depends on the state, put together. */

import { Comparison } from "../components/comparison.js";
import { Blobs } from "../io/blob_cache.js";
import { followTheme, onAddressChange, readAddress, writeAddress } from "../io/host.js";
import { along } from "../model/epochs.js";
import { initialOf } from "../model/fields.js";
import { currentTag, shownRecords, shownRuns } from "../model/selection.js";
import { assign, createStore, INITIAL, openUnit } from "../model/state.js";
import { layersWithUnits, neighbour } from "../model/units.js";
import { html, useEffect, useMemo, useRef, useState } from "../vendor/htm-preact-3.1.1.js";
import { goBack, goTo } from "./actions.js";
import { addressOf, stateOf } from "./address.js";
import { currentEpoch, currentView, refsAt, shownEpochs, viewBelow } from "./current.js";
import { FirstRun, Loading, NoRecords, NothingChosen, Unreachable } from "./empty_states.js";
import { Help } from "./help.js";
import { listenToKeys } from "./keyboard.js";
import { startLive } from "./polling.js";
import { RunList } from "./run_list.js";
import { Timeline } from "./timeline.js";
import { Toolbar } from "./toolbar.js";
import { unitPage, viewFields } from "./views.js";

/** Between two epochs while playing; for people who want less motion, a slide show. */
const BEAT = window.matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 125;

/** Epochs that are fetched before they are asked for: the way one is going, and one back. */
const AHEAD = [1, -1, 2, 3];

export function App() {
  const [, rendered] = useState(0);
  const refresh = () => rendered((count) => count + 1);
  const store = useMemo(() => createStore({ ...INITIAL, ...initialOf(viewFields) }), []);
  const frame = useRef(0);
  const blobs = useMemo(() => new Blobs(() => {
    // Many come at once: the page is drawn once for all of them.
    frame.current ||= requestAnimationFrame(() => {
      frame.current = 0;
      refresh();
    });
  }), []);
  const [dark, setDark] = useState(false);
  const direction = useRef(1);
  const { dispatch } = store;
  const state = store.get();

  const view = currentView(state);
  const epochs = useMemo(() => shownEpochs(state), [view, state.records, state.runs, state.chosen, state.automatic]);
  const epoch = currentEpoch(state, epochs);

  /** @param {number} by */
  function step(by) {
    const now = store.get();
    const places = shownEpochs(now);
    direction.current = Math.sign(by);
    dispatch(assign, { playing: false });
    if (places.length) dispatch(goTo, along(places, currentEpoch(now, places), by));
  }

  /** @param {number} to */
  const go = (to) => dispatch(goTo, to);

  function play() {
    const now = store.get();
    const places = shownEpochs(now);
    const atEnd = currentEpoch(now, places) === places.at(-1);
    if (!now.playing && atEnd) dispatch(goTo, places[0]);
    direction.current = 1;
    dispatch(assign, { playing: !now.playing && places.length > 1 });
  }

  /** The page of the chosen unit, or of the first that there is. */
  function unit() {
    const now = store.get();
    const [layer] = layersWithUnits(shownRecords(now), unitPage.methods);
    if (now.unit) dispatch(openUnit, now.unit.layer, now.unit.unit);
    else if (layer !== undefined) dispatch(openUnit, layer, 0);
  }

  /** @param {number} by */
  function nextUnit(by) {
    const now = store.get();
    if (now.page && now.unit) dispatch(openUnit, now.unit.layer, neighbour(shownRecords(now), unitPage.methods, now.unit, by));
  }

  const known = useRef(""); // the address as we last read or left it
  function takeAddress() {
    const address = readAddress();
    // TensorBoard also tells of a change when someone comes back from another tab: then ours is the newer state.
    if (JSON.stringify(address) === known.current) return leaveAddress();
    known.current = JSON.stringify(address);
    return dispatch(assign, stateOf(address));
  }
  function leaveAddress() {
    const address = addressOf(store.get());
    writeAddress(address, address.page !== undefined && readAddress().page === undefined && known.current !== "");
    known.current = JSON.stringify(readAddress());
  }

  useEffect(() => {
    takeAddress();
    store.subscribe(refresh);
    followTheme((isDark) => {
      document.documentElement.dataset.theme = isDark ? "dark" : "light";
      setDark(isDark);
    });
    onAddressChange(takeAddress);
    return listenToKeys({ step, play, help: () => dispatch(assign, { help: true }), unit, nextUnit, goBack: () => dispatch(goBack) });
  }, []);

  const live = useRef(/** @type {ReturnType<typeof startLive> | null} */ (null));
  useEffect(() => {
    live.current = startLive(store);
  }, []);
  const shown = shownRuns(state).map((run) => run.run).join("\n");
  useEffect(() => {
    if (state.link !== "loading") live.current?.load();
  }, [shown, currentTag(state)]);

  const address = JSON.stringify(addressOf(state));
  useEffect(() => {
    if (state.link === "loading") return undefined;
    const timer = setTimeout(leaveAddress, 250); // browsers allow few changes per second
    return () => clearTimeout(timer);
  }, [address, state.link]);

  const needed = refsAt(state, epoch);
  useEffect(() => {
    if (!view) return;
    const places = AHEAD.map((by) => along(epochs, epoch, by * direction.current)).filter((other) => other !== epoch);
    blobs.want(needed, [...new Set(places)].flatMap((other) => refsAt(state, other)));
  });

  const here = needed.every(({ url }) => blobs.get(url) || blobs.failure(url));
  useEffect(() => {
    if (!state.playing || !here) return undefined;
    if (epoch === epochs.at(-1)) {
      dispatch(assign, { playing: false });
      return undefined;
    }
    const timer = setTimeout(() => dispatch(goTo, along(epochs, epoch, 1)), Math.max(BEAT, view?.beat ?? 0));
    return () => clearTimeout(timer);
  }, [state.playing, here, epoch]);

  if (state.link === "loading") return html`<${Loading} />`;
  if (state.link === "lost" && !state.runs.length) return html`<${Unreachable} problem=${state.problem} />`;
  if (!state.runs.length) return html`<${FirstRun} />`;
  return html`
    <aside><${RunList} ...${{ state, dispatch }} /></aside>
    <main>
      <h1 class="hidden">Lightning Viz</h1>
      <${Toolbar} ...${{ state, dispatch }} />
      ${state.link === "lost" && html`<p class="notice" role="alert">TensorBoard does not answer (${state.problem}). What you see may be old; asking again.</p>`}
      ${view
        ? html`<${view.Stage ?? Comparison} ...${{ state, dispatch, view, epoch, blobs, runs: shownRuns(state), lists: shownRecords(state), go }} below=${viewBelow(state)?.title} />
            <${Timeline} ...${{ state, dispatch, epoch, epochs, dark, step, play }} />`
        : html`<${whyNothing(state)} />`}
    </main>
    ${state.help && html`<${Help} onClose=${() => dispatch(assign, { help: false })} />`}
  `;
}

/** @param {State} state */
function whyNothing(state) {
  const shown = shownRuns(state);
  if (!shown.length) return NothingChosen;
  return shown.every((run) => run.run in state.records || state.problems[run.run]) ? NoRecords : Loading;
}
