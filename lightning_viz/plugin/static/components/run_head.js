/** The head of a run's column. */

import { parameter, plenty } from "../render/text.js";
import { html } from "../vendor/htm-preact-3.1.1.js";
import { Mark } from "./run_mark.js";

/** @param {{state: State, run: Run}} props */
export function RunHead({ state, run }) {
  const problem = state.problems[run.run];
  return html`<header class="run-head">
    <h2 title=${run.run}><${Mark} place=${state.order.indexOf(run.run)} size=${14} /><span class="ellipsis">${run.run}</span></h2>
    <${Differences} state=${state} run=${run} />
    ${run.source === "images" && html`<${KeptBadge} state=${state} run=${run.run} />`}
    ${problem && html`<p class="failed">${problem}</p>`}
  </header>`;
}

/** The hyper-parameters of a run that are not the same in all runs. @param {{state: State, run: Run}} props */
export function Differences({ state, run }) {
  const own = differing(state.runs).filter((name) => name in run.hyper_parameters);
  if (!own.length) return null;
  const text = own.map((name) => `${name} ${parameter(run.hyper_parameters[name])}`).join(" · ");
  return html`<small class="run-parameters" title=${text}>${text}</small>`;
}

/** @param {Run[]} runs @returns {string[]} */
function differing(runs) {
  const tables = runs.filter((run) => run.source === "store").map((run) => run.hyper_parameters);
  const names = [...new Set(tables.flatMap(Object.keys))];
  return names.filter((name) => new Set(tables.map((table) => JSON.stringify(table[name]))).size > 1);
}

/** @param {{state: State, run: string}} props */
function KeptBadge({ state, run }) {
  const kept = state.kept[run];
  if (!kept) return null;
  const last = Math.max(...kept.images.map((image) => image.step));
  const limit = kept.limit ? `at most ${kept.limit} of a tag` : "all that were logged";
  return html`<details class="kept-badge">
    <summary>No store: ${plenty(kept.images.length, "image")} kept by TensorBoard, up to step ${last}</summary>
    <p>
      This run has event files but no folder <code>plugins/lightning_viz</code>, where every epoch and the raw values
      are. What you see are the images that TensorBoard kept: ${limit}. Copy the whole run folder to see all.
    </p>
  </details>`;
}
