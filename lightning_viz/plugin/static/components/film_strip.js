/** A film strip: rows are units, columns are epochs; a corner is cut where another image won than at the drawing before. */

import { present, weightsOf } from "../model/items.js";
import { entriesOf, mosaicOf, tableIn, tableOf } from "../model/patch_tables.js";
import { openUnit } from "../model/state.js";
import { epochText, number } from "../render/text.js";
import { freshCanvas } from "../render/canvas.js";
import { putTile } from "../render/tile.js";
import { html, useLayoutEffect, useMemo, useRef } from "../vendor/htm-preact-3.1.1.js";
import { cellAt, fieldOf, frameAt, HEAD, winnerChanged } from "./film_strip_layout.js";
import { placeIn, usePointer } from "./use_pointer.js";
import { useVisible } from "./use_visible.js";

/** @typedef {import("./film_strip_layout.js").Film} FilmOf */
/** @typedef {import("./film_strip_layout.js").Layout} Layout */

/** Of the mark of a changed winner. */
const CORNER = 9;

/**
 * @param {Object} props
 * @param {FilmOf} props.film
 * @param {Layout} props.layout
 * @param {string} props.layer
 * @param {number} props.epoch
 * @param {Dispatch} props.dispatch
 * @param {(epoch: number) => void} props.go
 * @param {Unit | null} props.chosen
 * @param {import("../io/blob_cache.js").Blobs} props.blobs
 * @param {string} props.note  Said while nothing is pointed at.
 */
export function Film({ film, layout, layer, epoch, dispatch, go, chosen, blobs, note }) {
  const [point, follow] = usePointer();
  const canvas = useRef(/** @type {any} */ (null));
  const drawn = useRef({ key: "", on: null });
  const visible = useVisible(canvas);
  const frames = [...film.frames.values()];
  const weights = film.lanes[0] === "weights";

  const wanted = layout.epochs.flatMap((one) => (film.frames.has(one) ? filmItems(/** @type {Rec} */ (film.frames.get(one)), film.lanes) : []));
  const there = wanted.filter(({ url }) => blobs.get(url));
  const failure = wanted.map(({ url }) => blobs.failure(url)).find(Boolean);
  useLayoutEffect(() => {
    const key = JSON.stringify([layout, film.units, film.lanes, there.map(({ url }) => url)]);
    if (!visible || (drawn.current.key === key && drawn.current.on === canvas.current)) return;
    drawn.current = { key, on: canvas.current };
    const context = freshCanvas(canvas.current, layout);
    layout.epochs.forEach((one, column) =>
      film.units.forEach((unit, row) =>
        film.lanes.forEach((lane, down) => {
          const tile = frameAt(blobs, film, one, unit, lane);
          if (tile) putTile(context, tile, fieldOf(layout, column, row, down), weights);
        }),
      ),
    );
  });
  const tables = frames.filter((record) => tableOf(blobs, record, "image_ids")).length;
  const marks = useMemo(() => (weights ? null : html`<${Marks} ...${{ film, layout, blobs }} />`), [JSON.stringify(layout), film.frames.size, tables, film.units.length]);

  const here = frames.map((record) => record.epoch).findLast((one) => one <= epoch);
  const at = here === undefined ? -1 : layout.epochs.indexOf(here);
  useLayoutEffect(() => {
    // Where not all columns fit, the one of the epoch is kept in sight.
    const reel = canvas.current.closest(".film-reel");
    if (at < 0 || reel.scrollWidth <= reel.clientWidth) return;
    const { left, width } = fieldOf(layout, at, 0, 0);
    const room = reel.clientWidth - layout.gutter;
    reel.scrollLeft = Math.max(left + width + 6 - room, Math.min(reel.scrollLeft, left - 6));
  }, [at, layout.width]);
  const hit = point && cellAt(layout, film, point);
  const row = chosen?.layer === layer ? film.units.indexOf(chosen.unit) : -1;
  const box = (/** @type {number} */ column, /** @type {number} */ down) => fieldOf(layout, column, down, 0);
  return html`<figure class="film-strip">
    <div class="film-reel" style=${`--gutter:${layout.gutter}px;--head:${HEAD}px`}>
      <div class="film-epochs" style=${`width:${layout.width}px`}>
        ${layout.epochs.map((one, column) => html`<button key=${one} aria-label=${`Go to epoch ${epochText(one)}`} aria-current=${column === at ? "true" : undefined}
          style=${`left:${box(column, 0).left}px;width:${layout.cell}px`} onClick=${() => go(one)}>${epochText(one)}</button>`)}
      </div>
      ${layout.gutter > 0 && html`<div class="film-names" style=${`height:${layout.height}px`}>
        ${film.units.map((unit, down) => html`<button key=${unit} aria-label=${`Open unit ${unit} of ${layer}`} title=${`Open unit ${unit}`}
          class=${down === row ? "unit-link chosen" : "unit-link"} style=${`top:${box(0, down).top}px;height:${layout.pitch - 3}px`}
          onClick=${() => dispatch(openUnit, layer, unit)}>${unit}</button>`)}
      </div>`}
      <div class=${there.length < wanted.length && !failure ? "film-cells waiting" : "film-cells"} style=${`width:${layout.width}px;height:${layout.height}px`}>
        <canvas ref=${canvas} role="img" aria-label=${`Film strip of ${film.units.length} units over ${layout.epochs.length} epochs, layer ${layer}`} ...${follow}
          onClick=${(/** @type {any} */ event) => {
            const cell = cellAt(layout, film, placeIn(event));
            if (cell) go(cell.epoch);
          }}
          onDblClick=${(/** @type {any} */ event) => {
            const cell = cellAt(layout, film, placeIn(event));
            if (cell) dispatch(openUnit, layer, cell.unit);
          }}></canvas>
        ${marks}
        ${at >= 0 && html`<i class="film-here" style=${`left:${box(at, 0).left}px;width:${layout.cell}px`}></i>`}
        ${hit && html`<i class="pointed-at" style=${`left:${box(hit.column, hit.row).left}px;top:${box(hit.column, hit.row).top}px;width:${layout.cell}px;height:${film.lanes.length * (layout.lane + 2) - 2}px`}></i>`}
      </div>
    </div>
    <figcaption class="readout sticky-caption">${failure
      ? html`<span class="failed">${failure}</span>`
      : hit
        ? reading(blobs, film, hit)
        : html`<span class="dim">${here !== undefined && here !== epoch ? `from epoch ${epochText(here)}; ` : ""}${note}</span>`}</figcaption>
  </figure>`;
}

/**
 * The mark of each cell whose winning image is another one than at the drawing before.
 * @param {{film: FilmOf, layout: Layout, blobs: import("../io/blob_cache.js").Blobs}} props
 */
function Marks({ film, layout, blobs }) {
  const drawn = [...film.frames.values()];
  return html`<svg class="film-changes" width=${layout.width} height=${layout.height} aria-hidden="true">
    ${layout.epochs.flatMap((epoch, column) => {
      const place = drawn.findIndex((record) => record.epoch === epoch);
      return film.units.flatMap((unit, row) => {
        if (!winnerChanged(blobs, drawn, place, unit)) return [];
        const { left, top } = fieldOf(layout, column, row, 0);
        return [html`<path key=${`${unit} ${epoch}`} data-unit=${unit} data-epoch=${epoch} d=${`M${left - 1.5} ${top - 1.5}h${CORNER}l${-CORNER} ${CORNER}z`} />`];
      });
    })}
  </svg>`;
}

/**
 * What a cell needs of a record's items.
 * @param {Rec} record
 * @param {import("./film_strip_layout.js").Lane[]} lanes
 * @returns {Item[]}
 */
export function filmItems(record, lanes) {
  if (lanes[0] === "weights") return present(weightsOf(record));
  return present(...lanes.map((lane) => mosaicOf(record, /** @type {"patch" | "projection"} */ (lane))), tableIn(record, "image_ids"), tableIn(record, "values"));
}

/** @type {(blobs: import("../io/blob_cache.js").Blobs, film: FilmOf, hit: {unit: number, epoch: number}) => string} */
function reading(blobs, film, { unit, epoch }) {
  const drawn = [...film.frames.values()];
  const place = drawn.findIndex((record) => record.epoch === epoch);
  const where = `unit ${unit} at epoch ${epochText(epoch)}`;
  if (place < 0) return `${where}: not drawn in this run`;
  if (film.lanes[0] === "weights") return where;
  const [image] = entriesOf(tableOf(blobs, drawn[place], "image_ids"), unit, 0);
  const [activation] = entriesOf(tableOf(blobs, drawn[place], "values"), unit, 0);
  if (image === undefined || image < 0) return `${where}: no image excites it`;
  return `${where}: image ${image}, activation ${number(activation)}${winnerChanged(blobs, drawn, place, unit) ? "; another image won before" : ""}`;
}
