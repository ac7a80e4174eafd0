/** What the page says when it has nothing to show. */

import { html, useState } from "../vendor/htm-preact-3.1.1.js";

const CODE = `from lightning_viz import FilterImages

trainer = Trainer(callbacks=[FilterImages()])`;

export function Loading() {
  return html`<div class="blank" role="status"><p class="dim blank-late">Looking for runs…</p></div>`;
}

/** @param {{problem: string}} props */
export function Unreachable({ problem }) {
  return html`<div class="blank" role="alert">
    <h2>No answer from TensorBoard</h2>
    <p>${problem}</p>
    <p class="dim">Is it still running? This page asks again every few seconds.</p>
  </div>`;
}

export function FirstRun() {
  const [copied, setCopied] = useState(false);
  const copy = () => navigator.clipboard?.writeText(CODE).then(() => setCopied(true), () => {});
  return html`<div class="blank" role="status">
    <h2>No pictures yet</h2>
    <p>Add a callback to your Trainer. It draws the untrained network, and then every epoch.</p>
    <div class="blank-code"><pre tabindex="0"><code>${CODE}</code></pre><button class="link" onClick=${copy}>${copied ? "copied" : "copy"}</button></div>
    <p class="dim">TensorBoard must read the folder that the Trainer logs to. This page looks again every few seconds.</p>
  </div>`;
}

export function NothingChosen() {
  return html`<div class="blank" role="status"><h2>No run is chosen</h2><p>Tick one on the left.</p></div>`;
}

export function NoRecords() {
  return html`<div class="blank" role="status"><h2>No pictures yet</h2><p>The chosen runs have no records so far. This page looks again every few seconds.</p></div>`;
}
