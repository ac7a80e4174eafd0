/** One image and the maps of a layer's units, ordered by how active they are in it. */

import { Still } from "../../components/canvas.js";
import { OpenUnit } from "../../components/open_unit_button.js";
import { placeIn, usePointer } from "../../components/use_pointer.js";
import { usePhotograph } from "../../io/probe_images.js";
import { rangeIn } from "../../model/items.js";
import { assign, openUnit } from "../../model/state.js";
import { partOf } from "../../render/maps.js";
import { finiteRange, gradient } from "../../render/palettes.js";
import { number, range as span, share } from "../../render/text.js";
import { html, useLayoutEffect, useMemo, useRef } from "../../vendor/htm-preact-3.1.1.js";
import { cornerOf, drawTiles, isSilent, layOut, tileAt } from "./tile_layout.js";

/** Beside the maps. */
const PHOTOGRAPH = 132;
const BESIDE = 12;
/** The most active units that the caption names. */
const NAMED = 5;

/** @param {CellProps<import("./view.js").Own> & {maps: Item, activity: Item | undefined}} props */
export function Units({ record, related, room, state, dispatch, blobs, maps: mapsItem, activity: activityItem }) {
  const [point, follow] = usePointer();
  const canvas = useRef(/** @type {any} */ (null));
  const [images, kept, height, width] = mapsItem.shape;
  const image = Math.min(state.image, images - 1);
  const photograph = usePhotograph(record, image);
  const values = /** @type {Values | null} */ (blobs.get(mapsItem.url));
  const activity = /** @type {Values | null} */ (activityItem ? blobs.get(activityItem.url) : null);
  const numbers = Array.isArray(record.meta.units) ? record.meta.units : [...Array(kept).keys()];

  const [tall, wide] = Array.isArray(record.meta.size) ? record.meta.size : [height, width];
  const most = Math.min(Math.min(PHOTOGRAPH, room.width / 4) / wide, PHOTOGRAPH / tall);
  const beside = photograph === null ? 0 : Math.floor(wide * (most < 1 ? most : Math.floor(most))) + BESIDE;
  const tiles = layOut(kept, { width, height }, { width: room.width - beside, height: room.height }, state.zoom);

  const shared = state.scale !== "own";
  const range = useMemo(() => rangeIn(related), [related]);
  const signed = range ? range.low < 0 : values !== null && finiteRange(values.data).low < 0;
  const order = useMemo(() => orderOf(kept, numbers, activity, image), [record, activity, image]);
  const drawn = useRef(/** @type {any} */ (null));
  useLayoutEffect(() => {
    if (!values) return;
    const key = JSON.stringify([mapsItem.url, image, shared, range, order.length, tiles]);
    if (drawn.current?.key === key && drawn.current.order === order && drawn.current.on === canvas.current) return;
    drawn.current = { key, order, on: canvas.current };
    const common = range ?? finiteRange(values.data);
    drawTiles(canvas.current, tiles, values, image, order, (data) => rangeOf(shared ? common : finiteRange(data), signed), signed ? "diverging" : "heat");
  });
  const silent = useMemo(() => (values ? order.map((unit) => isSilent(values, image, unit)) : []), [values, order, image]);

  const failure = blobs.failure(mapsItem.url);
  if (failure) return html`<p class="failed">${failure}</p>`;
  const hit = point && tileAt(tiles, kept, point.x, point.y);
  const chosen = state.unit?.layer === record.layer ? order.findIndex((unit) => numbers[unit] === state.unit?.unit) : -1;
  const marked = hit?.place ?? chosen;
  /** @param {any} event */
  const under = (event) => tileAt(tiles, kept, placeIn(event).x, placeIn(event).y);
  /** @param {any} event */
  function pick(event) {
    const at = under(event);
    const unit = at && numbers[order[at.place]];
    dispatch(assign, { unit: unit !== null && unit !== state.unit?.unit ? { layer: record.layer, unit } : null });
  }
  /** @param {any} event */
  function open(event) {
    const at = under(event);
    if (at) dispatch(openUnit, record.layer, numbers[order[at.place]]);
  }
  const named = mostActive(activity, image);
  return html`<figure class="unit-maps">
    <div class="unit-maps-row">
      ${photograph !== null && html`<div class=${photograph ? "canvas-box" : "canvas-box waiting"} style=${`width:${beside - BESIDE}px;height:${Math.round(((beside - BESIDE) * tall) / wide)}px`}>
        <${Still} bitmap=${photograph?.bitmap} label=${`Photograph ${image}`} soft=${most < 1} />
        ${hit && hit.y !== null && html`<i class="photograph-part" style=${`left:${(100 * hit.x) / width}%;top:${(100 * hit.y) / height}%;width:${100 / width}%;height:${100 / height}%`}></i>`}
      </div>`}
      <div class=${values ? "canvas-box unit-tiles" : "canvas-box unit-tiles waiting"} style=${`width:${tiles.width}px;height:${tiles.height}px`}>
        <canvas ref=${canvas} role="img" aria-label=${`Maps of ${kept} units, layer ${record.layer}${named.length ? `; most active: ${named.join(", ")}` : ""}`}
          ...${follow} onClick=${pick} onDblClick=${open}></canvas>
        ${tiles.label > 0 && order.map((unit, at) => {
          const { left, top } = cornerOf(tiles, at);
          return html`<span key=${at} class="unit-number" style=${`left:${left}px;top:${top + tiles.tileHeight}px;width:${tiles.tileWidth}px`}>${numbers[unit]}${silent[at] && tiles.tileWidth >= 64 ? " all zero" : ""}</span>`;
        })}
        ${marked >= 0 && html`<div class="unit-box" style=${`left:${cornerOf(tiles, marked).left}px;top:${cornerOf(tiles, marked).top}px;width:${tiles.tileWidth}px;height:${tiles.tileHeight}px`}></div>`}
      </div>
    </div>
    <figcaption class="sticky-caption">
      <p><span class="caption-subject">${named.length > 0 && html`most active here: ${named.join(", ")}`}</span><span class="dim nowrap">${partText(kept, record)}${record.meta.zeros !== undefined && `, ${share(record.meta.zeros)} of values at or below zero`}</span></p>
      <p class="readout">${marked >= 0 && values
        ? readout(values, activity, image, order[marked], numbers, hit)
        : html`<${Scale} ...${{ range: shared ? range : null, signed }} />`}${state.unit?.layer === record.layer && html` <${OpenUnit} dispatch=${dispatch} unit=${state.unit} />`}</p>
    </figcaption>
  </figure>`;
}

/** The units that were kept, the most active in an image first. @type {(kept: number, numbers: number[], activity: Values | null, image: number) => number[]} */
function orderOf(kept, numbers, activity, image) {
  const order = [...Array(kept).keys()];
  if (!activity) return order;
  const own = partOf(activity, image);
  return order.sort((a, b) => own[numbers[b]] - own[numbers[a]] || a - b);
}

/** By name, those that are active at all. @type {(activity: Values | null, image: number) => number[]} */
function mostActive(activity, image) {
  if (!activity) return [];
  const own = partOf(activity, image);
  return [...own.keys()].filter((unit) => own[unit] > 0).sort((a, b) => own[b] - own[a] || a - b).slice(0, NAMED);
}

/** @type {(range: import("../../render/palettes.js").Range, signed: boolean) => import("../../render/palettes.js").Range} */
function rangeOf({ low, high }, signed) {
  const bound = Math.max(-low, high, 0);
  return signed ? { low: -bound, high: bound } : { low: 0, high: Math.max(0, high) };
}

/** @type {(kept: number, record: Rec) => string} */
const partText = (kept, { meta: { unit_count } }) => (Number(unit_count) > kept ? `${kept} of ${unit_count} units` : `${kept} units`);

/** @param {{range: import("../../render/palettes.js").Range | null, signed: boolean}} props */
function Scale({ range, signed }) {
  const ends = range && rangeOf(range, signed);
  return html`<span class="dim scale-bar">${ends ? number(ends.low) : `each map: ${signed ? "\u2212max" : "0"}`}
    <i style=${`background:${gradient(signed ? "diverging" : "heat")}`}></i>
    ${ends ? number(ends.high) : "max"}${signed ? ", white: zero" : ""}</span>`;
}

/** @type {(values: Values, activity: Values | null, image: number, unit: number, numbers: number[], hit: ReturnType<typeof tileAt>) => string} */
function readout(values, activity, image, unit, numbers, hit) {
  const [height, width] = values.shape.slice(2);
  const own = partOf(values, image, unit);
  const name = numbers[unit];
  const mean = activity ? `, mean of its positive part ${number(activity.data[image * activity.shape[1] + name])}` : "";
  const { low, high } = finiteRange(own);
  if (!hit || hit.y === null) return `unit ${name}: ${span(low, high)}${mean}`;
  return `unit ${name}: ${number(own[hit.y * width + hit.x])} at row\u00a0${hit.y}, column\u00a0${hit.x} of ${height}\u00d7${width}${mean}`;
}
