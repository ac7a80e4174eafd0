/** The one slider of the page. It shares its axis with the curve below it. */

import { nearest } from "../model/epochs.js";
import { epochText } from "../render/text.js";
import { html, useRef } from "../vendor/htm-preact-3.1.1.js";
import { goTo } from "./actions.js";
import { CurvePanel } from "./scalar_panel.js";

/** @param {{state: State, dispatch: Dispatch, epoch: number, epochs: number[], dark: boolean, step: (by: number) => void, play: () => void}} props */
export function Timeline({ state, dispatch, epoch, epochs, dark, step, play }) {
  const dragged = useRef(false);
  const [first, last] = [epochs[0] ?? 0, Math.max(epochs.at(-1) ?? 0, (epochs[0] ?? 0) + 1)];

  /** @param {any} event */
  function slide({ target }) {
    const asked = Number(target.value);
    const place = nearest(epochs, asked);
    // Assistive technology moves by steps that may be too small to reach the next place.
    if (!dragged.current && place === epoch && asked !== epoch) step(asked > epoch ? 1 : -1);
    else dispatch(goTo, place);
    target.value = String(epoch);
  }

  return html`<section class="timeline" aria-label="Time">
    <button class="timeline-play" aria-label=${state.playing ? "Pause" : "Play"} title=${`${state.playing ? "Pause" : "Play"} (Space)`} onClick=${play}>
      <svg width="20" height="20" viewBox="0 0 24 24" aria-hidden="true"><path d=${state.playing ? "M6 5h4v14H6zM14 5h4v14h-4z" : "M8 5v14l11-7z"} /></svg>
    </button>
    <div class="timeline-track" style=${`--at:${(epoch - first) / (last - first)}`}>
      <svg class="timeline-ticks" aria-hidden="true">
        ${epochs.length <= 120 && epochs.map((one) => html`<rect key=${one} x=${`${(100 * (one - first)) / (last - first)}%`} width="1" height="6" />`)}
      </svg>
      <input id="epoch" type="range" min=${first} max=${last} step="any" value=${epoch} aria-label="Epoch"
        aria-valuetext=${`epoch ${epochText(epoch)} of ${epochText(epochs.at(-1) ?? 0)}`}
        onInput=${slide} onPointerDown=${() => (dragged.current = true)} onPointerUp=${() => (dragged.current = false)} />
    </div>
    <div class="timeline-epoch">
      <output for="epoch">epoch <b>${epochText(epoch)}</b></output>
      <span class="dim">of ${epochText(epochs.at(-1) ?? 0)}</span>
      <${Jump} onJump=${(/** @type {number} */ to) => dispatch(goTo, to)} />
    </div>
    <${CurvePanel} ...${{ state, dispatch, epoch, dark, first, last }} />
  </section>`;
}

/** @param {{onJump: (epoch: number) => void}} props */
function Jump({ onJump }) {
  return html`<form class="timeline-jump" onSubmit=${(/** @type {any} */ event) => {
    event.preventDefault();
    const field = event.target.elements.jump;
    if (field.value.trim() !== "" && Number.isFinite(Number(field.value))) onJump(Number(field.value));
    field.value = "";
    field.blur();
  }}>
    <input name="jump" inputmode="decimal" autocomplete="off" placeholder="go to" aria-label="Go to epoch" />
  </form>`;
}
