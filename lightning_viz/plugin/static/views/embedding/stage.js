/** The feature space of all shown runs side by side: the same points, on one scale, at one epoch. */

import { PicturesCell } from "../../components/pictures_cell.js";
import { RunHead } from "../../components/run_head.js";
import { useStageSize } from "../../components/use_stage_size.js";
import { useSheet } from "./sheet.js";
import { around } from "../../model/epochs.js";
import { assign } from "../../model/state.js";
import { epochText, plenty } from "../../render/text.js";
import { html, useLayoutEffect, useMemo, useRef, useState } from "../../vendor/htm-preact-3.1.1.js";
import { Bar, Notices, Scores } from "./controls.js";
import { placesOf, roomNeeded } from "./extents.js";
import { snap } from "./grid_layout.js";
import { className, columnsOf, hasLayer, layoutOf, neighboursOf, shownLayer } from "./model.js";
import { NeighbourTable, Strip } from "./neighbours.js";
import { PointMap } from "./point_map.js";

/** @typedef {import("./model.js").Column} Column */
/** @typedef {import("./extents.js").Extent} Extent */
/** @typedef {import("./neighbours.js").Links} Links */
/** @typedef {{width: number, height: number}} Size */

const PADDING = 12;
const GAP = 24;
const [FOOT, HEAD, STRIP] = [28, 62, 62];
const SMALLEST = 180;
/** In narrower columns the numbers of a run take a second line, of so many pixels. */
const [NARROW, LINE] = [350, 17];
/** Of an image in the strip below a map; of the column of queries. */
const THUMB = 38;
const QUERY = 108;
/** Between the outermost dots and the edge. */
const MARGIN = 12;
/** A free image is larger than its place on a grid would be. */
const LARGER = 1.5;
const still = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;
/** Milliseconds of a move from one epoch to the next. */
const MOVE = 400;

/** @param {StageProps<import("./state.js").Own>} props */
export function EmbeddingStage({ state, dispatch, view, epoch, blobs, runs, lists, go }) {
  const [stage, size] = useStageSize();
  const [hovered, setHovered] = useState(/** @type {Links["hovered"]} */ (null));
  const [middle, setMiddle] = useState({ x: 0.5, y: 0.5 });
  const layer = shownLayer(state, lists);
  const columns = columnsOf(runs, lists, layer, epoch, blobs);
  const first = columns.find((column) => column.linked && column.layout) ?? null;
  const room = roomOf(size, columns.length);
  const frame = useFrame(columns, room, blobs, JSON.stringify([layer, runs.map((run) => run.run), room]));
  const zoom = Math.max(1, state.zoom);
  const lens = { zoom, ...clamped(middle, zoom) };

  const chosen = useMemo(() => (state.selected?.points ?? []).filter((point) => point < (first?.sample?.count ?? 0)), [state.selected, first?.sample?.count]);
  const hash = state.selected?.sample || first?.sample?.hash;
  /** @type {Links} */
  const links = {
    hovered, blobs,
    runs: runs.map((run) => run.run),
    point: (column, point) => {
      const next = point < 0 ? null : { sample: column.sample?.hash ?? "", point, run: column.run.run };
      if (next?.point !== hovered?.point || next?.run !== hovered?.run) setHovered(next);
    },
    pick: (column, points, add) => {
      const before = add ? links.selectedIn(column) : [];
      const all = [...new Set([...before, ...points])].sort((a, b) => a - b);
      dispatch(assign, { selected: all.length ? { sample: column.sample?.hash ?? "", points: all } : null });
    },
    selectedIn: (column) => (hash !== undefined && column.sample?.hash === hash && (hash !== "" || column === first) ? chosen : NONE),
  };
  const common = { state, dispatch, view, epoch, blobs, links, room, lens, layer, go };

  return html`<div class="stage stage-column embedding-stage" ref=${stage} tabindex="0" role="region" aria-label="Embedding">
    <div class="comparison" style=${`--padding:${PADDING}px;--gap:${GAP}px;--column:${room.width}px;--columns:${room.across};--query:${QUERY}px;--runs:${columns.length};--wide:${columnWidth(size, columns.length)}px`}>
      <div class="stage-top">
        <${Bar} ...${{ state, dispatch, lists, columns, layer, links, first }} />
        <${Notices} ...${{ columns, state }} />
        ${state.embeddingMode === "neighbours" && html`<div class="run-heads with-query"><i></i>${columns.map((column) => html`<div class="point-map-head" key=${column.run.run}><${RunHead} state=${state} run=${column.run} /><${Scores} column=${column} /><${Note} ...${{ column, epoch }} /></div>`)}</div>`}
      </div>
      ${size.width > 0 && (state.embeddingMode === "neighbours"
        ? html`<${NeighbourTable} ...${{ columns, links }} zoom=${state.zoom} width=${columnWidth(size, columns.length)} query=${QUERY}
            instead=${(/** @type {Column} */ column) => html`<${Nothing} ...${{ ...common, column }} room=${{ width: columnWidth(size, columns.length), height: 64 }} records=${lists[runs.indexOf(column.run)]} loaded=${column.run.run in state.records} />`} />`
        : html`<div class="comparison-cells">${columns.map((column, place) => html`<section class="comparison-cell" key=${column.run.run} data-run=${column.run.run} aria-label=${column.run.run}>
            <div class="point-map-head" style=${`height:${room.head}px`}><${RunHead} state=${state} run=${column.run} /><${Scores} column=${column} /><${Note} ...${{ column, epoch }} /></div>
            ${column.layout && frame
              ? html`<${MapCell} ...${common} ...${{ column, frame, setMiddle }} leads=${column === first} extent=${frame.extents[place]} />`
              : html`<${Nothing} ...${{ ...common, column }} records=${lists[place]} loaded=${column.run.run in state.records} />`}
          </section>`)}</div>`)}
    </div>
    <p class="stage-foot readout">${reading(columns, links, first, state)}</p>
  </div>`;
}

/** @type {number[]} */
const NONE = [];

/** How large each map is: as many beside each other as makes them largest. @param {Size} size @param {number} count */
function roomOf(size, count) {
  const sizes = Array.from({ length: Math.max(1, count) }, (_, before) => {
    const across = before + 1;
    const down = Math.ceil(count / across);
    const width = Math.floor((size.width - 2 * PADDING - GAP * (across - 1)) / across);
    const height = Math.floor((size.height - FOOT - 8 - GAP * (down - 1)) / Math.max(1, down)) - STRIP;
    const head = width < NARROW ? HEAD + LINE : HEAD;
    return { across, head, width: Math.max(SMALLEST, width), height: Math.max(SMALLEST, height - head) };
  });
  return sizes.reduce((best, one) => (Math.min(one.width, one.height) > Math.min(best.width, best.height) ? one : best));
}

/** @type {(size: Size, count: number) => number} */
const columnWidth = (size, count) => Math.max(150, Math.floor((size.width - 2 * PADDING - QUERY - GAP * count) / Math.max(1, count)));

/** What is in sight stays within the room. @type {(middle: {x: number, y: number}, zoom: number) => {x: number, y: number}} */
function clamped({ x, y }, zoom) {
  const half = Math.min(0.5, 0.5 / zoom);
  const within = (/** @type {number} */ value) => Math.max(half, Math.min(1 - half, value));
  return { x: within(x), y: within(y) };
}

/**
 * One scale for all runs and epochs. It is settled when all layouts are there; until then, it is that of the first to come.
 * @param {Column[]} columns
 * @param {Size} room
 * @param {import("../../io/blob_cache.js").Blobs} blobs
 * @param {string} key
 * @returns {{scale: number, extents: Extent[]} | null}
 */
function useFrame(columns, room, blobs, key) {
  const kept = useRef({ key: "", whole: false, frame: /** @type {{scale: number, extents: Extent[]} | null} */ (null) });
  if (!columns.some((column) => column.layout)) return null;
  const { whole, extents } = roomNeeded(columns, blobs);
  const before = kept.current;
  const known = before.key === key && before.frame?.extents.every((extent, place) => !columns[place].layout || extent.left <= extent.right);
  if (before.frame && known && !whole) return before.frame;
  const scales = extents.filter((one) => one.left <= one.right).map((one) => Math.min((room.width - 2 * MARGIN) / (one.right - one.left || 1), (room.height - 2 * MARGIN) / (one.bottom - one.top || 1)));
  const frame = { scale: Math.min(...scales, 1e6), extents };
  const same = known && JSON.stringify(before.frame) === JSON.stringify(frame);
  kept.current = { key, whole, frame: same ? before.frame : frame };
  return kept.current.frame;
}

/** @param {any} props */
function MapCell({ state, dispatch, view, column, leads, room, frame, extent, lens, setMiddle, links, blobs }) {
  const { bitmap, problem } = useSheet(column.sample, [column.run.run, ...links.runs]);
  const { sample, layout, motion } = /** @type {Column & {sample: Sample, layout: Values}} */ (column);
  const images = state.embeddingMode === "images" && bitmap;
  const aspect = (sample.width || 1) / (sample.height || 1);
  const free = useMemo(() => placesOf(layout, motion, extent, frame.scale, room), [layout, motion, extent, frame.scale, room.width, room.height]);
  const area = frame.scale ** 2 * (extent.right - extent.left) * (extent.bottom - extent.top);
  const side = Math.min(64, Math.sqrt(area / Math.max(1, sample.count) / aspect));
  const snapped = useMemo(() => (images && state.grid ? snap(free, room, aspect) : null), [free, images && state.grid, aspect]);
  const tile = useMemo(() => {
    if (!images) return null;
    return snapped ? { width: snapped.width * 0.96, height: snapped.height * 0.96, framed: false } : { width: Math.max(8, LARGER * side * aspect), height: Math.max(8, LARGER * side), framed: true };
  }, [images, snapped, side, aspect]);
  const selected = links.selectedIn(column);
  const places = snapped?.places ?? free;
  useLayoutEffect(() => {
    // Who enlarges wants to see what is selected, and has perhaps no wheel to go there.
    if (!leads || lens.zoom === 1 || selected.length !== 1) return;
    const [x, y] = [places[2 * selected[0]] / room.width, places[2 * selected[0] + 1] / room.height];
    if (Number.isFinite(x + y)) setMiddle({ x, y });
  }, [leads && lens.zoom > 1, selected, frame, snapped === null]);
  const near = neighboursOf(column, selected.length === 1 ? selected[0] : NaN, blobs);
  const neighbours = useMemo(() => near ?? [], [JSON.stringify(near?.map(({ point }) => point))]);
  return html`
    <${PointMap} ...${{ column, room, lens, tile, bitmap, links }} places=${places} emphasis=${state.emphasis} near=${neighbours}
      radius=${Math.max(1.7, Math.min(4.5, 0.28 * Math.sqrt((room.width * room.height) / Math.max(1, sample.count))))}
      time=${still() ? 0 : state.playing ? view.beat : MOVE} evenly=${state.playing} look=${(/** @type {number} */ zoom, /** @type {number} */ x, /** @type {number} */ y) => {
        setMiddle(clamped({ x, y }, zoom));
        if (zoom !== state.zoom) dispatch(assign, { zoom });
      }} />
    <p class="point-map-note">
      ${column.error && html`<span class="failed"><b>The drawing at epoch ${epochText(column.failedAt ?? 0)} failed.</b> ${column.error}</span>`}
      ${problem && state.embeddingMode === "images" && html`<span class="dim">No images: ${problem}</span>`}
    </p>
    <${Strip} ...${{ column, links }} size=${THUMB} width=${room.width} />`;
}

/** What to know of a map. @param {{column: Column, epoch: number}} props */
function Note({ column: { record, layout, missing, sample }, epoch }) {
  if (!record || !layout) return null;
  const notes = [
    ...(record.epoch !== epoch ? [`from epoch ${epochText(record.epoch)}`] : []),
    ...(missing ? [`${missing} of ${plenty(sample?.count ?? 0, "point")} ${missing === 1 ? "has" : "have"} no place: ${missing === 1 ? "its" : "their"} features are not finite`] : []),
  ].join("; ");
  return html`<p class="point-map-about dim ellipsis" title=${notes}>${notes}</p>`;
}

/** Why there is no map. @param {any} props */
function Nothing({ state, go, column, records, loaded, layer, epoch, blobs, room }) {
  const { record, error, failedAt, problem, drawn, run } = column;
  const style = `width:${room.width}px;min-height:${room.height}px`;
  if (problem) return html`<div class="gap" style=${style}><p class="failed">${problem}</p></div>`;
  if (record && !layoutOf(record)) return html`<${PicturesCell} ...${{ record, room, state, blobs }} />`;
  if (record || !loaded) return html`<div class="gap waiting" style=${style}><p>…</p></div>`;
  if (error) return html`<div class="gap" style=${style}><p class="failed"><b>Drawing failed at epoch ${epochText(failedAt)}.</b><br />${error}</p></div>`;
  if (!drawn.length) return html`<div class="gap" style=${style}><p>${hasLayer(records, layer) || !layer ? "No map yet." : `${run.run} has no embedding of ${layer}.`}</p></div>`;
  return html`<div class="gap" style=${style}>
    <p>No map at epoch ${epochText(epoch)}.</p>
    <p>First: ${around(drawn.map((/** @type {any} */ one) => one.epoch), epoch).map((other) => html`<button key=${other} class="link" onClick=${() => go(other)}>epoch ${epochText(other)}</button>`)}</p>
  </div>`;
}

/** What is pointed at, or picked. @type {(columns: Column[], links: Links, first: Column | null, state: import("./state.js").OwnState) => unknown} */
function reading(columns, links, first, state) {
  const { hovered } = links;
  const over = hovered && columns.find((column) => column.run.run === hovered.run);
  if (over && hovered && !(links.selectedIn(over).length === 1 && links.selectedIn(over)[0] === hovered.point)) {
    const name = className(over.sample, over.labels?.[hovered.point]);
    return `point ${hovered.point}${name && `: ${name}`}`;
  }
  const picked = columns.find((column) => links.selectedIn(column).length) ?? first;
  const points = picked ? links.selectedIn(picked) : NONE;
  if (points.length === 1) {
    const shares = columns.flatMap((column) => {
      const near = column.labels && links.selectedIn(column).length ? neighboursOf(column, points[0], links.blobs) : null;
      return near ? [`${near.filter(({ point }) => column.labels?.[point] === column.labels?.[points[0]]).length} of ${near.length} in ${column.run.run}`] : [];
    });
    return `point ${points[0]}${picked?.labels ? `: ${className(picked.sample, picked.labels[points[0]])}` : ""}${shares.length ? `; of its class among the nearest: ${shares.join(", ")}` : ""}`;
  }
  if (points.length) return `${plenty(points.length, "point")} selected${picked?.labels ? `: ${census(picked, points)}` : ""}`;
  return html`<span class="dim">${state.embeddingMode === "neighbours" ? "Click an image for its own neighbours." : "Point at one for its image; click for its neighbours; drag around some to select them; Escape lets go."}</span>`;
}

/** How many points there are of each class, the most first. @type {(column: Column, points: number[]) => string} */
function census({ labels, sample }, points) {
  /** @type {Record<number, number>} */
  const counts = {};
  for (const point of points) counts[labels?.[point] ?? -1] = (counts[labels?.[point] ?? -1] ?? 0) + 1;
  const sorted = Object.entries(counts).sort((a, b) => b[1] - a[1]);
  return sorted.slice(0, 8).map(([label, count]) => `${count} × ${className(sample, Number(label))}`).join(", ") + (sorted.length > 8 ? ", …" : "");
}
