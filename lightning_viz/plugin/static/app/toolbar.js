/** What is shown, and how: the views, the scale, the zoom. */

import { assign } from "../model/state.js";
import { html } from "../vendor/htm-preact-3.1.1.js";
import { currentView, shownViews, viewBelow } from "./current.js";

const ZOOMS = [0.5, 1, 1.5, 2, 3, 4, 6, 8];

/** @param {{state: State, dispatch: Dispatch}} props */
export function Toolbar({ state, dispatch }) {
  const view = currentView(state);
  const place = ZOOMS.findLastIndex((zoom) => zoom <= state.zoom);
  /** @param {number} by */
  const zoom = (by) => dispatch(assign, { zoom: ZOOMS[Math.max(0, Math.min(ZOOMS.length - 1, place + by))] });
  return html`<div class="toolbar">
    <nav aria-label="Views">
      ${shownViews(state).map((one) => html`<button key=${one.name} class="view-tab" aria-current=${one !== viewBelow(state) ? undefined : one === view ? "page" : "true"}
        onClick=${() => dispatch(assign, { view: one.name, page: null })}>${one.title}</button>`)}
    </nav>
    ${view?.Tools && html`<${view.Tools} ...${{ state, dispatch }} />`}
    ${view?.scales && html`<${ScaleSwitch} ...${{ state, dispatch, scales: view.scales }} />`}
    <div class="button-group" role="group" aria-label="Zoom">
      <span class="dim">zoom</span>
      <button aria-label="Zoom out" disabled=${place <= 0} onClick=${() => zoom(-1)}>−</button>
      <button class="toolbar-zoom" title="As large as fits" onClick=${() => dispatch(assign, { zoom: 1 })}>${state.zoom === 1 ? "fit" : `${state.zoom}×`}</button>
      <button aria-label="Zoom in" disabled=${place >= ZOOMS.length - 1} onClick=${() => zoom(1)}>+</button>
    </div>
    <button class="toolbar-help" aria-label="Help" title="Help (?)" onClick=${() => dispatch(assign, { help: true })}>?</button>
  </div>`;
}

/** @param {{state: State, dispatch: Dispatch, scales: Scales}} props */
function ScaleSwitch({ state, dispatch, scales }) {
  const now = state.scale ?? scales.usual;
  const places = /** @type {Scale[]} */ (scales.usual === "own" ? ["own", "shared"] : ["shared", "own"]);
  return html`<div class="button-group" role="group" aria-label="Scale">
    <span class="dim">scale</span>
    ${places.map((one) => html`<button key=${one} aria-pressed=${now === one} title=${scales[one][1]}
      onClick=${() => dispatch(assign, { scale: one === scales.usual ? null : one })}>${scales[one][0]}</button>`)}
  </div>`;
}
