/** What is shown, and how: the views, the scale, the zoom. */

import { currentView, shownViews } from "../shown.js";
import { put } from "../state.js";
import { html } from "../vendor/htm-preact-3.1.1.js";

/** @typedef {import("../types.js").State} State */
/** @typedef {import("../types.js").Act} Act */

const ZOOMS = [0.5, 1, 1.5, 2, 3, 4, 6, 8];

/** @param {{state: State, act: Act}} props */
export function Toolbar({ state, act }) {
  const view = currentView(state);
  const place = ZOOMS.findLastIndex((zoom) => zoom <= state.zoom);
  /** @param {number} by */
  const zoom = (by) => act(put, { zoom: ZOOMS[Math.max(0, Math.min(ZOOMS.length - 1, place + by))] });
  return html`<div class="toolbar">
    <nav aria-label="Views">
      ${shownViews(state).map((one) => html`<button key=${one.method} class="tab" aria-current=${one === view ? "page" : undefined}
        onClick=${() => act(put, { view: one.method, unit: null })}>${one.title}</button>`)}
    </nav>
    ${view?.scales && html`<div class="group" role="group" aria-label="Scale">
      <span class="dim">scale</span>
      <button aria-pressed=${state.scale === "filter"} title="Each filter from its own minimum (black) to its own maximum (white)"
        onClick=${() => act(put, { scale: "filter" })}>per filter</button>
      <button aria-pressed=${state.scale === "shared"} title="One scale per layer, over the shown runs and all their epochs"
        onClick=${() => act(put, { scale: "shared" })}>shared by runs and epochs</button>
    </div>`}
    <div class="group" role="group" aria-label="Zoom">
      <span class="dim">zoom</span>
      <button aria-label="Zoom out" disabled=${place <= 0} onClick=${() => zoom(-1)}>−</button>
      <button class="zoom" title="As large as fits" onClick=${() => act(put, { zoom: 1 })}>${state.zoom === 1 ? "fit" : `${state.zoom}×`}</button>
      <button aria-label="Zoom in" disabled=${place >= ZOOMS.length - 1} onClick=${() => zoom(1)}>+</button>
    </div>
    <button class="round" aria-label="Help" title="Help (?)" onClick=${() => act(put, { help: true })}>?</button>
  </div>`;
}
