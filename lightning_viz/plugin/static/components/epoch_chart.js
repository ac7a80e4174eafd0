/** A small curve over drawn epochs, one line per run. Its columns are drawings, as those of a film strip, not a time scale. */

import { epochText, number } from "../render/text.js";
import { html } from "../vendor/htm-preact-3.1.1.js";
import { colourOf, Mark, shapeOf } from "./run_mark.js";
import { placeIn } from "./use_pointer.js";

/** @typedef {{epoch: number, value: number, changed?: boolean}} Point */
/** @typedef {{run: string, place: number, points: Point[]}} SmallLine */

const LEFT = 48;
const RIGHT = 10;
const TOP = 8;
const BOTTOM = 20;
/** Between two numbers on the axis of epochs. */
const APART = 26;

/**
 * @param {Object} props
 * @param {string} props.title
 * @param {SmallLine[]} props.lines
 * @param {number[]} props.epochs  the columns
 * @param {number} props.epoch
 * @param {number} props.width
 * @param {number} props.height
 * @param {number} props.low
 * @param {number} props.high
 * @param {(epoch: number) => void} props.go
 */
export function Lines({ title, lines, epochs, epoch, width, height, low, high, go }) {
  const across = (width - LEFT - RIGHT) / Math.max(1, epochs.length - 1);
  const x = (/** @type {number} */ one) => LEFT + across * epochs.indexOf(one);
  const y = (/** @type {number} */ value) => TOP + (height - TOP - BOTTOM) * (1 - (value - low) / (high - low || 1));
  const here = epochs.findLast((one) => one <= epoch);
  const every = Math.ceil(APART / Math.max(1, across));
  /** @param {any} event */
  function pick(event) {
    const at = Math.round((placeIn(event).x - LEFT) / across);
    go(epochs[Math.max(0, Math.min(epochs.length - 1, at))]);
  }
  const said = lines.map((line) => ({ ...line, now: line.points.findLast((point) => point.epoch <= epoch) }));
  return html`<figure class="epoch-chart" style=${`width:${width}px`}>
    <figcaption><span class="ellipsis" title=${title}>${title}</span>${said.map(({ run, place, now }) => now && html`<span key=${run} class="epoch-chart-now" title=${run}><${Mark} place=${place} size=${10} /> ${number(now.value)}</span>`)}</figcaption>
    <svg width=${width} height=${height} role="img" aria-label=${`${title}: ${said.map(({ run, now }) => `${run} ${now ? number(now.value) : "none"}`).join(", ")}`} onClick=${pick}>
      ${[low, high].map((value) => html`<g key=${value}><line class="grid" x1=${LEFT} x2=${width - RIGHT} y1=${y(value)} y2=${y(value)} />
        <text x=${LEFT - 8} y=${y(value) + 4} text-anchor="end">${number(value)}</text></g>`)}
      ${here !== undefined && html`<line class="cursor" x1=${x(here)} x2=${x(here)} y1=${TOP - 4} y2=${height - BOTTOM + 4} />`}
      ${epochs.map((one, place) => place % every === 0 && html`<text key=${one} x=${x(one)} y=${height - 4} text-anchor="middle">${epochText(one)}</text>`)}
      ${lines.map(({ run, place, points }) => html`<g key=${run} data-line=${run} style=${`color:${colourOf(place)}`}>
        <polyline points=${points.map((point) => `${x(point.epoch)},${y(point.value)}`).join(" ")} />
        ${points.map((point) => point.changed === false
          ? html`<circle key=${point.epoch} data-epoch=${point.epoch} data-value=${point.value} cx=${x(point.epoch)} cy=${y(point.value)} r="1.8" />`
          : html`<path key=${point.epoch} data-epoch=${point.epoch} data-value=${point.value} class=${point.changed ? "changed" : undefined} d=${shapeOf(place)}
              transform=${`translate(${x(point.epoch)} ${y(point.value)}) scale(${point.changed === undefined ? 0.55 : 0.8})`} />`)}
      </g>`)}
    </svg>
  </figure>`;
}
