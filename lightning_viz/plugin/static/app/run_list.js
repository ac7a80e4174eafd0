/** Runs: the list on the left. */

import { Differences } from "../components/run_head.js";
import { Mark } from "../components/run_mark.js";
import { shownRuns } from "../model/selection.js";
import { chooseRuns } from "../model/state.js";
import { plenty } from "../render/text.js";
import { html, useState } from "../vendor/htm-preact-3.1.1.js";
import { toggleRun } from "./actions.js";

/** With more runs than this, a field to search them appears. */
const MANY = 8;

/** @param {{state: State, dispatch: Dispatch}} props */
export function RunList({ state, dispatch }) {
  const [search, setSearch] = useState("");
  const shown = shownRuns(state).map((run) => run.run);
  const found = state.runs.filter((run) => run.run.toLowerCase().includes(search.toLowerCase()));
  const names = found.map((run) => run.run);
  const all = names.every((name) => shown.includes(name));
  return html`<fieldset class="run-list">
    <legend>Runs</legend>
    <button class="link run-list-all" onClick=${() => dispatch(chooseRuns, all ? [] : [...new Set([...shown, ...names])])}>${all ? "none" : "all"}</button>
    ${state.runs.length > MANY && html`<input type="search" placeholder="Search runs" aria-label="Search runs" value=${search}
      onInput=${(/** @type {any} */ event) => setSearch(event.target.value)} />`}
    <ul>
      ${found.map((run) => html`<li key=${run.run}>
        <label>
          <input type="checkbox" checked=${shown.includes(run.run)} onChange=${() => dispatch(toggleRun, run.run)} />
          <${Mark} place=${state.order.indexOf(run.run)} />
          <span class="run-list-name" title=${run.run}>${run.run}<${Differences} state=${state} run=${run} /></span>
        </label>
        ${state.runs.length > 1 && html`<button class="link run-list-only" aria-label=${`Only ${run.run}`} onClick=${() => dispatch(chooseRuns, [run.run])}>only</button>`}
      </li>`)}
    </ul>
    <${Skipped} runs=${state.runs} />
  </fieldset>`;
}

/** @param {{runs: Run[]}} props */
function Skipped({ runs }) {
  const files = runs.flatMap((run) => Object.entries(run.skipped ?? {}).map(([file, reason]) => ({ run: run.run, file, reason })));
  if (!files.length) return null;
  return html`<details class="skipped-files">
    <summary>${plenty(files.length, "file")} left out</summary>
    <ul>${files.map(({ run, file, reason }) => html`<li key=${run + file}>${run}: ${file}: ${reason}</li>`)}</ul>
  </details>`;
}
