/** One group per image of the probe, in it one line per run, in it the photograph and every map: columns are maps. */

import { OtherProbes } from "../../components/comparison.js";
import { PicturesCell } from "../../components/pictures_cell.js";
import { Mark } from "../../components/run_mark.js";
import { placeIn } from "../../components/use_pointer.js";
import { useStageSize } from "../../components/use_stage_size.js";
import { around, ascending } from "../../model/epochs.js";
import { valuesOf } from "../../model/items.js";
import { history, otherProbes, recordAt } from "../../model/records.js";
import { pixelRatio } from "../../render/canvas.js";
import { epochText } from "../../render/text.js";
import { html, useMemo, useRef } from "../../vendor/htm-preact-3.1.1.js";
import { ImageHeads, peaksOf } from "./column_heads.js";
import { columnsOf, imagesOf, onlyPictures } from "./columns.js";
import { LINE_GAP, ImageGroup } from "./image_row.js";
import { describe, Readout } from "./readout.js";

/** @typedef {import("./columns.js").Column} Column */
/** @typedef {import("./map_cell.js").Found} Found */

/**
 * One run, as all groups show it.
 * @typedef {Object} Line
 * @property {Run} run
 * @property {Rec[]} records
 * @property {number} place  of the run, for its mark
 * @property {number} count  of images
 * @property {number} height  of an image
 * @property {number} width
 * @property {Rec | null} photographed  Some record whose probe has the photographs.
 * @property {Prediction[]} predictions  of each image at this epoch; empty where none are known
 * @property {Prediction[]} labels  the same at any epoch: what the images are does not change
 * @property {Found[]} cells  one per column
 */

const PADDING = 12;
const GUTTER = 92;
const GAP = 6;
const NARROWEST = 72;
/** Below this part of the scale nothing is seen. */
const FAINT = 0.05;

/** @param {StageProps<import("./view.js").Own>} props */
export function ImageStage({ state, view, epoch, blobs, runs, lists, go }) {
  const [stage, room] = useStageSize();
  const tell = useRef(/** @type {(point: any) => void} */ (() => {}));
  const marked = useRef(/** @type {HTMLElement | null} */ (null));

  const columns = useMemo(() => columnsOf(lists), [state.records, state.runs, state.chosen, state.automatic]);
  const sizes = useMemo(() => lists.map(imagesOf), [state.records, state.runs, state.chosen, state.automatic]);
  const shared = (state.scale ?? view.scales?.usual) !== "own";
  const lines = runs.flatMap((run, place) => (sizes[place].count ? [lineOf(run, lists[place], sizes[place])] : []));
  const others = runs.map((run, place) => ({ run, records: lists[place] })).filter(({ records }, place) => !sizes[place].count || records.some((one) => one.epoch === epoch && one.meta.left_out && onlyPictures(one)));
  const photographs = lines.some((line) => line.photographed);
  const width = columnWidth();
  const heights = lines.map((line) => Math.max(48, Math.round((width * line.height) / line.width)));
  const count = Math.max(0, ...lines.map((line) => line.count));
  const height = 26 + heights.reduce((sum, one) => sum + one + LINE_GAP, 0);

  /** @returns {number} Whole device pixels per pixel of the image, if there is room for one. */
  function columnWidth() {
    const across = columns.length + (photographs ? 1 : 0);
    const free = (room.width - 2 * PADDING - GUTTER - across * GAP) / Math.max(1, across);
    const image = Math.max(1, ...lines.map((line) => line.width));
    const tall = Math.max(1, ...lines.map((line) => (line.height / line.width) * image));
    const ratio = pixelRatio();
    const fit = Math.min(free / image, (0.5 * room.height) / tall) * state.zoom * ratio;
    return Math.max(NARROWEST, fit >= 1 ? (image * Math.floor(fit + 0.001)) / ratio : Math.floor((image * fit) / ratio));
  }

  /** @type {(run: Run, records: Rec[], size: ReturnType<typeof imagesOf>) => Line} */
  function lineOf(run, records, size) {
    const cells = columns.map((column) => find(records, column));
    const here = cells.flatMap((cell) => (cell.record ? [cell.record] : []));
    const ours = records.filter((record) => view.methods.includes(record.method));
    const said = here.find((record) => Array.isArray(record.meta.predictions));
    return {
      run, records, cells, ...size,
      place: state.order.indexOf(run.run),
      photographed: here.find((record) => record.photographs) ?? ours.find((record) => record.photographs) ?? null,
      predictions: said?.meta.predictions ?? [],
      labels: (said ?? ours.find((record) => Array.isArray(record.meta.predictions)))?.meta.predictions ?? [],
    };
  }

  /** @type {(records: Rec[], column: Column) => Found} */
  function find(records, { kind, layer, item: name }) {
    const { record, error } = recordAt(records, kind.method, layer, epoch);
    const item = valuesOf(record, name, kind.axes) ?? null;
    const nothing = { record: null, item: null, values: null };
    if (!record || !item) {
      const has = history(records, kind.method, layer).some((one) => valuesOf(one, name));
      return { ...nothing, why: error ? "failed" : has ? `none at epoch ${epochText(epoch)}` : "not in this run" };
    }
    if (blobs.failure(item.url)) return { ...nothing, why: "failed" };
    return { record, item, values: /** @type {any} */ (blobs.get(item.url)), why: "" };
  }

  /** @param {any} event */
  function follow(event) {
    const cell = event.target.closest?.(".map-cell");
    const group = cell?.closest(".image-row") ?? null;
    if (marked.current !== group) marked.current?.classList.remove("pointed");
    marked.current = group;
    if (!group) return tell.current(null);
    const pointer = placeIn(event, cell);
    const place = (/** @type {string} */ name) => Number(cell.style.getPropertyValue(name));
    const at = (/** @type {number} */ part, /** @type {number} */ start, /** @type {number} */ length) =>
      start + Math.max(0, Math.min(length - 1, Math.floor(part * length)));
    const x = at(pointer.x / pointer.width, place("--left"), place("--wide"));
    const y = at(pointer.y / pointer.height, place("--top"), place("--tall"));
    group.style.setProperty("--x", String(x + 0.5));
    group.style.setProperty("--y", String(y + 0.5));
    group.classList.add("pointed");
    tell.current({ image: Number(group.dataset.image), run: cell.closest("[data-run]").dataset.run, column: cell.dataset.column, x, y });
    return undefined;
  }

  const layout = `--columns:${columns.length + (photographs ? 1 : 0)};--width:${width}px;--gutter-width:${GUTTER}px;--column-gap:${GAP}px;--padding:${PADDING}px`;
  return html`<div class="stage stage-column" ref=${stage} tabindex="0" role="region" aria-label="Images">
    <div class=${width < (lines[0]?.width ?? 0) ? "image-maps small" : "image-maps"} style=${layout}>
      <div class="stage-top"><${ImageHeads} ...${{ columns, lines, photographs, shared }} /></div>
      ${otherProbes(lists, view.methods) && html`<${OtherProbes} />`}
      ${problems(lines, state, epoch, blobs, columns).map((text) => html`<p key=${text} class="notice failed">${text}</p>`)}
      ${absent(lines, epoch).map(({ line, epochs }) => html`<p key=${line.run.run} class="notice absent-run">
        <${Mark} place=${line.place} /> ${line.run.run} has no maps at epoch ${epochText(epoch)}. Nearest:
        ${epochs.map((other) => html`<button key=${other} class="link" onClick=${() => go(other)}>epoch ${epochText(other)}</button>`)}
      </p>`)}
      <div onPointerMove=${follow} onPointerLeave=${follow}>
        ${room.width > 0 && Array.from({ length: count }, (_, image) => html`<${ImageGroup} key=${image}
          ...${{ image, lines, columns, photographs, heights, height, shared, screen: room.height, opacity: state.opacity }} />`)}
      </div>
      ${others.map(({ run, records }) => html`<${Pictures} key=${run.run}
        ...${{ run, records, view, epoch, state, blobs, place: state.order.indexOf(run.run), loaded: run.run in state.records, room }} />`)}
    </div>
    <${Readout} tell=${tell} text=${(/** @type {any} */ point) => describe(point, lines, columns)}
      hint=${hint(shared, columns, lines)} />
  </div>`;
}

/** @type {(shared: boolean, columns: Column[], lines: Line[]) => string} */
function hint(shared, columns, lines) {
  if (!shared) return "Each map on its own scale: compare shapes, not strengths.";
  const strengths = columns.flatMap((column, at) => {
    if (!column.range) return [];
    return [Math.max(0, ...peaksOf(column, at, lines).map(({ part }) => (column.kind.colours === "signed" ? 2 * part - 1 : part)))];
  });
  const faint = strengths.filter((part) => part < FAINT).length > strengths.length / 2;
  return faint
    ? "At this epoch most maps are faint on the common scale; \u201ceach map\u201d shows their shapes."
    : "One scale per column, over all shown runs and epochs.";
}

/**
 * What could not be drawn or fetched, each reason once: it is the same for all images.
 * @param {Line[]} lines
 * @param {State} state
 * @param {number} epoch
 * @param {import("../../io/blob_cache.js").Blobs} blobs
 * @param {Column[]} columns
 */
function problems(lines, state, epoch, blobs, columns) {
  const texts = lines.flatMap(({ run, records }) => {
    const found = columns.flatMap(({ kind, layer, item }) => {
      const { record, error } = recordAt(records, kind.method, layer, epoch);
      const url = valuesOf(record, item)?.url;
      const reason = error ? `drawing failed at epoch ${epochText(epoch)}: ${error}` : url && blobs.failure(url);
      return reason ? [`${run.run}, ${kind.title}: ${reason}`] : [];
    });
    return state.problems[run.run] ? [`${run.run}: ${state.problems[run.run]}`, ...found] : found;
  });
  return [...new Set(texts)];
}

/**
 * Runs that have nothing at an epoch, though at others.
 * @param {Line[]} lines
 * @param {number} epoch
 */
function absent(lines, epoch) {
  return lines
    .filter((line) => line.cells.every((cell) => cell.why.startsWith("none at") || cell.why === "not in this run"))
    .map((line) => ({ line, epochs: around(epochsWithValues(line.records), epoch) }));
}

/** @param {Rec[]} records */
const epochsWithValues = (records) =>
  ascending(records.filter((one) => !one.error && imagesOf([one]).count).map((one) => one.epoch));

/** @param {any} props */
function Pictures({ run, records, view, epoch, state, blobs, place, loaded, room }) {
  const here = records.filter((/** @type {Rec} */ one) => onlyPictures(one) && one.epoch === epoch);
  const failed = records.find((/** @type {Rec} */ one) => one.error && one.epoch === epoch && view.methods.includes(one.method));
  return html`<section class="comparison-row" data-run=${run.run}>
    <h3><${Mark} place=${place} /> ${run.run}</h3>
    ${failed && html`<p class="failed"><b>Drawing failed at epoch ${epochText(epoch)}.</b> ${failed.error}</p>`}
    ${!failed && !here.length && html`<p class="dim">${loaded ? `No maps of images at epoch ${epochText(epoch)}.` : "…"}</p>`}
    ${here.map((/** @type {Rec} */ record) => html`<div class="comparison-cell" key=${record.method + record.layer}>
      <${PicturesCell} ...${{ record, room, state, blobs }} />
    </div>`)}
  </section>`;
}
