/** The images nearest to another in the feature space, and a table of such rows. */

import { useSheet } from "./sheet.js";
import { number, plenty } from "../../render/text.js";
import { html } from "../../vendor/htm-preact-3.1.1.js";
import { className, differ, isLabel, neighboursOf, tableOf } from "./model.js";
import { Thumb } from "./thumbnail.js";

/** @typedef {import("./model.js").Column} Column */

/**
 * What all cells of the view know of each other.
 * @typedef {Object} Links
 * @property {{sample: string, point: number, run: string} | null} hovered
 * @property {(column: Column, point: number) => void} point  -1: nothing.
 * @property {(column: Column, points: number[], add?: boolean) => void} pick
 * @property {(column: Column) => number[]} selectedIn
 * @property {import("../../io/blob_cache.js").Blobs} blobs
 * @property {string[]} runs  Whose stores may have the sheets.
 */

const GAP = 4;
/** Queries of the table when none is selected, and at most. */
const USUAL = 8;
const MOST = 24;

/**
 * A query's nearest images, from left to right, their distances below.
 * @param {{column: Column, query: number, size: number, width: number, links: Links}} props
 */
function Nearest({ column, query, size, width, links }) {
  const { bitmap } = useSheet(column.sample, links.runs);
  const sample = /** @type {Sample} */ (column.sample);
  const found = neighboursOf(column, query, links.blobs);
  if (!found) return html`<p class="dim">…</p>`;
  if (!found.length) return html`<p class="dim">No neighbours: the features of point ${query} are not finite.</p>`;
  const { labels } = column;
  const shown = found.slice(0, Math.max(1, Math.floor((width + GAP) / (size + GAP))));
  return html`<ol class="nearest" style=${`--thumb:${size}px;gap:${GAP}px`}>
    ${shown.map(({ point, distance }, place) => {
      const wrong = differ(labels, point, query);
      const name = className(sample, labels?.[point]);
      const text = `${place + 1}. point ${point}${name && `, ${name}`}${wrong ? ", another class" : ""}, distance ${number(distance)}`;
      return html`<li key=${place}>
        <${ThumbButton} ...${{ column, point, bitmap, links, text, wrong }} />
        <span class="nearest-distance">${number(distance)}</span>
      </li>`;
    })}
  </ol>`;
}

/**
 * An image that selects itself.
 * @param {{column: Column, point: number, bitmap: ImageBitmap | null, links: Links, text: string, wrong?: boolean}} props
 */
function ThumbButton({ column, point, bitmap, links, text, wrong }) {
  const sample = /** @type {Sample} */ (column.sample);
  const { hovered } = links;
  const pointed = hovered && hovered.point === point && hovered.sample === sample.hash;
  return html`<button class=${`point-thumb${wrong ? " other" : ""}${pointed ? " pointed" : ""}`} aria-label=${text} title=${text} style=${`aspect-ratio:${sample.width || 1}/${sample.height || 1}`}
    onPointerEnter=${() => links.point(column, point)} onPointerLeave=${() => links.point(column, -1)}
    onClick=${(/** @type {any} */ event) => links.pick(column, [point], event.shiftKey)}>
    <${Thumb} ...${{ bitmap, sample, point }} />
    ${wrong && html`<svg class="point-thumb-cross" viewBox="0 0 12 12" aria-hidden="true"><path d="M3 3L9 9M9 3L3 9" /></svg>`}
  </button>`;
}

/**
 * What is selected, in one line below a map: a point with its neighbours, or the images of many.
 * @param {{column: Column, size: number, width: number, links: Links}} props
 */
export function Strip({ column, size, width, links }) {
  const { bitmap } = useSheet(column.sample, links.runs);
  const selected = links.selectedIn(column);
  const sample = /** @type {Sample} */ (column.sample);
  const thumb = (/** @type {number} */ point) => html`<${ThumbButton} key=${point} ...${{ column, point, bitmap, links }}
    text=${`point ${point}${column.labels ? `, ${className(sample, column.labels[point])}` : ""}`} />`;
  if (!selected.length || !sample.columns) return html`<div class="chosen-points"></div>`;
  const fit = Math.max(1, Math.floor((width - 48) / (size + GAP)));
  if (selected.length === 1) {
    return html`<div class="chosen-points" style=${`--thumb:${size}px`}>
      ${thumb(selected[0])}<i></i><${Nearest} ...${{ column, size, links, query: selected[0] }} width=${width - size - 20} />
    </div>`;
  }
  return html`<div class="chosen-points" style=${`--thumb:${size}px`}>
    ${selected.slice(0, fit).map(thumb)}${selected.length > fit && html`<span class="dim">+ ${selected.length - fit}</span>`}
  </div>`;
}

/** Some points to begin with: one per class, or spread over the sample. @param {Column} column */
function usualQueries({ sample, labels }) {
  const count = sample?.count ?? 0;
  if (!labels) return Array.from({ length: Math.min(USUAL, count) }, (_, place) => Math.floor((place * count) / Math.min(USUAL, count)));
  const classes = [...new Set(labels)].filter(isLabel).sort((a, b) => a - b);
  if (classes.length < 2) return usualQueries(/** @type {any} */ ({ sample, labels: null }));
  const some = classes.length <= 10 ? classes : Array.from({ length: USUAL }, (_, place) => classes[Math.floor((place * classes.length) / USUAL)]);
  return some.map((label) => labels.indexOf(label));
}

/**
 * Rows are queries, columns are runs.
 * @param {{columns: Column[], links: Links, width: number, query: number, zoom: number,
 *   instead: (column: Column) => unknown}} props  width: of a column; query: of the first; instead: said of a run without a map
 */
export function NeighbourTable({ columns, links, width, query, zoom, instead }) {
  const first = columns.find((column) => column.linked && column.layout);
  const { bitmap } = useSheet(first?.sample ?? null, links.runs);
  if (!first) return html`<div class="query-row"><i></i>${columns.map((column) => html`<div key=${column.run.run} data-run=${column.run.run}>${instead(column)}</div>`)}</div>`;
  const sample = /** @type {Sample} */ (first.sample);
  const selected = links.selectedIn(first);
  const queries = selected.length ? selected.slice(0, MOST) : usualQueries(first);
  const k = Math.max(1, ...columns.map(({ record }) => tableOf(record, "neighbours")?.shape[1] ?? 1));
  const size = Math.max(32, Math.min(64, Math.floor((width + GAP) / k) - GAP)) * Math.max(1, zoom);
  return html`<div>
    ${queries.map((point, row) => {
      const name = className(sample, first.labels?.[point]);
      return html`<section class="query-row" key=${point} data-query=${point} aria-label=${`point ${point}${name && `, ${name}`}`}>
        <div class="query-image" style=${`--thumb:${Math.min(size, query - 8)}px`}>
          <${ThumbButton} column=${first} ...${{ point, bitmap, links }} text=${`point ${point}${name && `, ${name}`}`} />
          <p><span class="ellipsis" title=${name}>${name}</span><span class="dim">${point}</span></p>
        </div>
        ${columns.map((column) => html`<div key=${column.run.run} class="comparison-cell" data-run=${column.run.run}>
          ${column.linked && column.layout && html`<${Nearest} ...${{ column, size, width, links, query: point }} />`}
          ${row === 0 && !column.layout && instead(column)}
          ${row === 0 && column.layout && !column.linked && html`<p class="dim">Its points are other images.</p>`}
        </div>`)}
      </section>`;
    })}
    ${selected.length > MOST && html`<p class="dim">The first ${MOST} of ${plenty(selected.length, "selected point")}.</p>`}
  </div>`;
}
