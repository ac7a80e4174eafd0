/** The scalar curves of the shown runs on the axis of epochs, the choice among them, and their values here. */

import { Mark } from "../components/run_mark.js";
import { epochsOfSteps, nearestPlace } from "../model/epochs.js";
import { currentTag, shownRuns, shownTags } from "../model/selection.js";
import { assign, seriesKey } from "../model/state.js";
import { number } from "../render/text.js";
import { html, useMemo } from "../vendor/htm-preact-3.1.1.js";
import { goTo } from "./actions.js";
import { Curve } from "./scalar_chart.js";

/** @typedef {{run: string, place: number, epochs: number[], values: (number | null)[]}} Line */

/** @param {{state: State, dispatch: Dispatch, epoch: number, dark: boolean, first: number, last: number}} props */
export function CurvePanel({ state, dispatch, epoch, dark, first, last }) {
  const [tag, tags] = [currentTag(state), shownTags(state)];
  const lines = useMemo(() => linesOf(state, tag), [state.runs, state.chosen, state.automatic, state.records, state.series, tag]);
  return html`
    ${lines.length > 0
      ? html`<${Curve} ...${{ lines, epoch, dark, first, last }} onPick=${(/** @type {number} */ to) => dispatch(goTo, to)} />`
      : html`<p class="scalar-chart dim scalar-none">${tag === null ? "No scalars were logged." : "Curves appear once two epochs tie steps to epochs."}</p>`}
    <div class="scalar-legend">
      ${tags.length > 0 && html`<select aria-label="Scalar" value=${tag} onChange=${(/** @type {any} */ event) => dispatch(assign, { tag: event.target.value })}>
        ${tags.map((one) => html`<option key=${one} value=${one} selected=${one === tag}>${one}</option>`)}
      </select>`}
      <ul>${lines.map((line) => html`<li key=${line.run} title=${line.run}>
        <${Mark} place=${line.place} /><span class="scalar-name dim ellipsis">${line.run}</span><span class="scalar-value">${number(line.values[nearestPlace(line.epochs, epoch)])}</span>
      </li>`)}</ul>
    </div>`;
}

/**
 * @param {State} state
 * @param {string | null} tag
 * @returns {Line[]}
 */
function linesOf(state, tag) {
  if (tag === null) return [];
  return shownRuns(state).flatMap(({ run }) => {
    const series = state.series[seriesKey(run, tag)];
    const epochOf = epochsOfSteps(state.records[run] ?? []);
    if (!series?.steps.length || !epochOf) return [];
    const values = series.values.map((value) => (Number.isFinite(Number(value)) ? Number(value) : null));
    return [{ run, place: state.order.indexOf(run), epochs: series.steps.map(epochOf), values }];
  });
}
