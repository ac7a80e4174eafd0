/** What stands above the maps: which layer, which point, the classes; and the numbers of each run. */

import { layersOf } from "../../model/records.js";
import { assign } from "../../model/state.js";
import { classColour } from "../../render/palettes.js";
import { number, plenty } from "../../render/text.js";
import { html, useLayoutEffect, useMemo, useRef } from "../../vendor/htm-preact-3.1.1.js";
import { className, isLabel, METHOD } from "./model.js";

/** @typedef {import("./model.js").Column} Column */

/** @type {[string, string, string][]} */
const SCORES = [
  ["knn_accuracy", "kNN", "kNN accuracy: the share of points whose label is that of most of their nearest neighbours in the feature space"],
  ["trustworthiness", "trust", "Trustworthiness: how far neighbours in this map are neighbours in the feature space too; 1 is best"],
  ["silhouette", "silhouette", "Silhouette: how far the classes lie apart in the feature space, from \u22121 (mixed) to 1 (apart)"],
  ["drift", "drift", "Drift: how far points moved since the map before, as a part of the map\u2019s radius (root mean square)"],
];

/** The numbers of a run at the epoch; those that it has at another keep their place. @param {{column: Column}} props */
export function Scores({ column: { record, drawn } }) {
  const known = SCORES.filter(([name]) => drawn.some((one) => name in one.scalars));
  return html`<dl class="embedding-scores">${known.map(([name, word, title]) => {
    const value = record?.scalars[name];
    const text = value === undefined ? "\u2013" : name === "knn_accuracy" && Number.isFinite(Number(value)) ? `${number(100 * Number(value))}%` : number(value);
    return html`<div key=${name} title=${title} data-score=${name}><dt>${word}</dt><dd>${text}</dd></div>`;
  })}</dl>`;
}

/** @param {any} props */
export function Bar({ state, dispatch, lists, columns, layer, links, first }) {
  const layers = layersOf(lists, METHOD);
  return html`<div class="embedding-bar">
    ${layers.length > 1
      ? html`<select aria-label="Layer" value=${layer} onChange=${(/** @type {any} */ event) => dispatch(assign, { layer: event.target.value })}>
          ${layers.map((one) => html`<option key=${one} value=${one} selected=${one === layer}>${one}</option>`)}
        </select>`
      : html`<h2 class="dim">${layer}</h2>`}
    <${Legend} ...${{ columns, state, dispatch }} />
    ${state.embeddingMode === "images" && html`<div class="button-group" role="group" aria-label="Places">
      <button aria-pressed=${!state.grid} title="Where the layout has them; they may overlap" onClick=${() => dispatch(assign, { grid: false })}>free</button>
      <button aria-pressed=${state.grid} title="Side by side on a grid; neighbours stay near each other" onClick=${() => dispatch(assign, { grid: true })}>grid</button>
    </div>`}
    ${first && html`<${PointForm} ...${{ links, first }} />`}
  </div>`;
}

/** As many classes have room. */
const MOST = 40;

/** The classes that occur. @param {{columns: Column[], state: import("./state.js").OwnState, dispatch: Dispatch<import("./state.js").Own>}} props */
function Legend({ columns, state, dispatch }) {
  const source = columns.find((column) => column.labels);
  const counts = useMemo(() => {
    /** @type {Map<number, number>} */
    const found = new Map();
    for (const label of source?.labels ?? []) if (isLabel(label)) found.set(label, (found.get(label) ?? 0) + 1);
    return [...found].sort((a, b) => a[0] - b[0]);
  }, [source?.labels]);
  if (!source) return html`<span class="class-legend"></span>`;
  return html`<div class="class-legend" role="group" aria-label="Classes">
    ${counts.slice(0, MOST).map(([label, count]) => html`<button key=${label} aria-pressed=${state.emphasis === label} class=${state.emphasis !== null && state.emphasis !== label ? "dimmed" : undefined}
      title=${plenty(count, "point")} onClick=${() => dispatch(assign, { emphasis: state.emphasis === label ? null : label, selected: null })}>
      <i style=${`background:rgb(${classColour(label).join(" ")})`}></i>${className(source.sample, label)}</button>`)}
    ${counts.length > MOST && html`<span class="dim">and ${counts.length - MOST} more</span>`}
  </div>`;
}

/** To reach a point without a pointer. @param {{links: import("./neighbours.js").Links, first: Column}} props */
function PointForm({ links, first }) {
  const field = useRef(/** @type {any} */ (null));
  const count = first.sample?.count ?? 0;
  const selected = links.selectedIn(first);
  const point = selected.length === 1 ? selected[0] : null;
  const text = point === null ? "" : String(point);
  // Not as a property: when something else is drawn anew, what is being typed would be gone.
  useLayoutEffect(() => {
    field.current.value = text;
  }, [text]);
  const go = (/** @type {number} */ to) => links.pick(first, [Math.max(0, Math.min(count - 1, to))]);
  /** @param {any} event */
  function jump(event) {
    event.preventDefault();
    const asked = field.current.value.trim();
    if (/^\d{1,6}$/.test(asked) && Number(asked) < count) go(Number(asked));
    else field.current.value = text;
  }
  return html`<form class="button-group point-form" onSubmit=${jump}>
    <button type="button" class="link" disabled=${!selected.length} title="Select nothing (Escape)" onClick=${() => links.pick(first, [])}>clear</button>
    <button type="button" aria-label="Previous point" disabled=${point === 0} onClick=${() => go(point === null ? count - 1 : point - 1)}>‹</button>
    <input ref=${field} name="point" inputmode="numeric" autocomplete="off" aria-label="Point" placeholder="point" />
    <button type="button" aria-label="Next point" disabled=${point === count - 1} onClick=${() => go(point === null ? 0 : point + 1)}>›</button>
    <span class="dim">of ${count}</span>
  </form>`;
}

/** What concerns the comparison as a whole. @param {{columns: Column[], state: State}} props */
export function Notices({ columns, state }) {
  const shown = columns.filter((column) => column.sample);
  const others = shown.filter((column) => !column.linked).map((column) => column.run.run);
  return html`
    ${others.length > 0 && html`<p class="notice">The points of ${others.join(", ")} are not those of ${shown.find((column) => column.linked && !column.problem)?.run.run}: their samples differ. Their maps are not aligned, and a point has no counterpart there.</p>`}
    ${columns.map(({ run }) => state.problems[run.run] && html`<p key=${run.run} class="notice failed">${run.run}: ${state.problems[run.run]}</p>`)}`;
}
