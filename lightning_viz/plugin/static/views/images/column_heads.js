/** The heads of the columns of maps: method, layer, rule, and what colours mean. */

import { colourOf } from "../../components/run_mark.js";
import { classColour, gradient } from "../../render/palettes.js";
import { number } from "../../render/text.js";
import { html } from "../../vendor/htm-preact-3.1.1.js";
import { classNameOf, peakOf } from "./columns.js";

/** @typedef {import("./columns.js").Column} Column */
/** @typedef {import("./stage.js").Line} Line */

/** @param {{columns: Column[], lines: Line[], photographs: boolean, shared: boolean}} props */
export function ImageHeads({ columns, lines, photographs, shared }) {
  /** @type {Column[][]} Columns of one method and layer. */
  const families = [];
  for (const column of columns) {
    const last = families.at(-1);
    if (last && last[0].kind === column.kind && last[0].layer === column.layer) last.push(column);
    else families.push([column]);
  }
  return html`<div class="map-columns map-heads">
    <span></span>
    ${photographs && html`<div class="map-family"><h2>Photograph</h2></div>`}
    ${families.map((family) => html`<div class="map-family" key=${family[0].key} style=${`grid-column:span ${family.length}`}>
      <${Title} family=${family} />
      <div class="map-rules">${family.map((column) => html`<div key=${column.key}>
        ${family.length > 1 && html`<p class="dim ellipsis" title=${column.item}>${column.item}</p>`}
        ${column.kind.colours === "class"
          ? html`<p class="map-scale">\u00a0</p>`
          : html`<${Legend} column=${column} peaks=${shared ? peaksOf(column, columns.indexOf(column), lines) : []} shared=${shared} />`}
      </div>`)}</div>
    </div>`)}
    ${columns.map((column, at) => column.kind.colours === "class" && html`<${Classes} key=${column.key} column=${column} found=${lines.map(({ cells }) => cells[at])} />`)}
  </div>`;
}

/** @param {{family: Column[]}} props */
function Title({ family }) {
  const [{ kind, layer, item, cut }] = family;
  const where = layer === "output" ? "" : layer;
  const rule = family.length === 1 && item !== "maps" ? item : "";
  const part = cut ? `enlarged: ${cut.width}\u00d7${cut.height} pixels` : "";
  const more = [where, rule, part].filter(Boolean).join(", ");
  return family.length > 1
    ? html`<h2 class="ellipsis" title=${`${kind.title}, ${more}`}>${kind.title} <span class="dim">${more}</span></h2>`
    : html`<h2 class="ellipsis">${kind.title}</h2><p class="dim ellipsis" title=${more}>${more}\u00a0</p>`;
}

/**
 * How far each run's values reach on the scale of a column, at this epoch.
 * @param {Column} column
 * @param {number} at
 * @param {Line[]} lines
 */
export function peaksOf({ kind, item, range }, at, lines) {
  if (!range) return [];
  return lines.flatMap(({ run, place, cells }) => {
    const record = cells[at].record;
    const peak = record ? peakOf(record, kind, item) : NaN;
    return Number.isFinite(peak) ? [{ run: run.run, place, peak, part: (peak - range.low) / (range.high - range.low || 1) }] : [];
  });
}

/** As many names have room in a line. */
const FEW = 20;

/**
 * What the colours of classes mean: of all where there are few, else of those that occur at this epoch.
 * @param {{column: Column, found: import("./map_cell.js").Found[]}} props
 */
function Classes({ column, found }) {
  const record = found.find((one) => one.record)?.record;
  const names = record?.meta.class_names;
  const all = Array.isArray(names) && names.length <= FEW;
  const here = found.flatMap(({ values }) => [...(values?.data ?? [])]);
  const shown = [...new Set([...(all ? names.keys() : []), ...here])].sort((a, b) => a - b);
  return html`<p class=${all ? "map-classes" : "map-classes ellipsis"} title=${shown.map((one) => classNameOf(record, one)).join("\n")}>
    <span class="dim">${column.kind.title}, the most likely class:</span>
    ${shown.map((one) => html`<span key=${one}><i style=${`background:rgb(${classColour(one).join(" ")})`}></i>${classNameOf(record, one)}</span>`)}
  </p>`;
}

/** @param {{column: Column, peaks: ReturnType<typeof peaksOf>, shared: boolean}} props */
function Legend({ column: { kind, range }, peaks, shared }) {
  const signed = kind.colours === "signed";
  const high = shared ? (range ? number(range.high) : "") : "max";
  const low = shared && range ? number(range.low) : "0";
  const title = peaks.map(({ run, peak }) => `${run}: up to ${number(peak)} at this epoch`).join("\n");
  return html`<p class="map-scale" title=${title || undefined}>
    <span>${signed ? `\u00b1${high}` : low}</span>
    <i style=${`background:${gradient(kind.colours === "heat" ? "heat" : "grey")}`}>
      ${peaks.map(({ run, place, part }) => html`<b key=${run} style=${`left:${Math.round(1000 * part) / 10}%;background:${colourOf(place)}`}></b>`)}
    </i>
    ${!signed && html`<span>${high}</span>`}
  </p>`;
}
