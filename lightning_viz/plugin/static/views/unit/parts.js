/** Two sections of the page of a unit that draw values: its filter, and its maps of the probe's images. */

import { Canvas, Still } from "../../components/canvas.js";
import { Picture } from "../../components/picture.js";
import { usePhotograph } from "../../io/probe_images.js";
import { drawnRecords, latestUntil } from "../../model/records.js";
import { drawFilters } from "../../render/filter_grid.js";
import { drawMap, gridAt, isZero } from "../../render/maps.js";
import { finiteRange, gradient } from "../../render/palettes.js";
import { epochText, number, range as span } from "../../render/text.js";
import { html, useMemo } from "../../vendor/htm-preact-3.1.1.js";

/** @typedef {import("../../model/types.js").Rec} Rec */
/** @typedef {import("../../model/types.js").Values} Values */
/** @typedef {import("./sections.js").PartProps} PartProps */

const FILTER = 120;
const CHANNELS = { width: 420, height: 130 };
const MAP = 70;
/** Images of the probe; more are left out. */
const IMAGES = 12;

/** @param {Rec | null} record */
export const weightsIn = (record) => record?.items.find(({ kind, shape }) => kind === "values" && shape.length === 4 && !shape.includes(0));

/** The weights of the unit: one picture, or one per input channel. @param {PartProps} props */
export function FilterOfUnit({ records, unit, epoch, room, state, blobs }) {
  const { record } = latestUntil(records, "filters", unit.layer, epoch);
  const item = weightsIn(record);
  const values = /** @type {Values | null} */ (item ? blobs.get(item.url) : null);
  const [, channels = 1, height = 1, width = 1] = item?.shape ?? [];
  const colour = channels === 1 || channels === 3;
  const own = useMemo(() => {
    if (!values || unit.unit >= values.shape[0]) return null;
    const size = channels * height * width;
    const data = values.data.subarray(unit.unit * size, (unit.unit + 1) * size);
    const range = finiteRange(data);
    return { range, image: drawFilters({ shape: colour ? [1, channels, height, width] : [channels, 1, height, width], data }, range) };
  }, [values, unit.unit]);
  if (!record || !item) return html`<p class="dim">None at epoch ${epochText(epoch)}.</p>`;
  if (blobs.failure(item.url)) return html`<p class="failed">${blobs.failure(item.url)}</p>`;
  const size = own?.image ?? { width, height };
  const most = colour ? { width: FILTER, height: FILTER } : { width: Math.min(room.width, CHANNELS.width), height: CHANNELS.height };
  return html`<figure class="own-filter">
    <${Picture} image=${own?.image ?? null} size=${{ width: size.width, height: size.height }} room=${{ width: Math.min(room.width, most.width * state.zoom), height: most.height * state.zoom }} zoom=${1}
      label=${`Filter ${unit.unit} of ${unit.layer}`} />
    <figcaption class="dim">${own && span(own.range.low, own.range.high)}<br />${channels}×${height}×${width}${colour ? "" : ", a tile per input channel"}${record.epoch === epoch ? "" : `, from epoch ${epochText(record.epoch)}`}</figcaption>
  </figure>`;
}

/** @param {Rec} record */
export const mapsItems = (record) =>
  record.items.filter(({ kind, name, shape }) => kind === "values" && !shape.includes(0) && ((name === "maps" && shape.length === 4) || (name === "activity" && shape.length === 2)));

/** @param {PartProps} props */
export function MapsOfUnit({ records, lists, unit, epoch, room, state, blobs }) {
  const { record } = latestUntil(records, "activations", unit.layer, epoch);
  const items = record ? mapsItems(record) : [];
  const item = items.find(({ name }) => name === "maps");
  const activity = items.find(({ name }) => name === "activity");
  const values = /** @type {Values | null} */ (item ? blobs.get(item.url) : null);
  const means = /** @type {Values | null} */ (activity ? blobs.get(activity.url) : null);
  const range = useMemo(() => layerRange(lists, unit.layer), [lists.flat().length, unit.layer]);
  if (!record || !item) return html`<p class="dim">None at epoch ${epochText(epoch)}.</p>`;
  if (blobs.failure(item.url)) return html`<p class="failed">${blobs.failure(item.url)}</p>`;
  const kept = Array.isArray(record.meta.units) ? record.meta.units.indexOf(unit.unit) : unit.unit;
  const count = item.shape[0];
  const older = record.epoch === epoch ? "" : `from epoch ${epochText(record.epoch)}; `;
  const mean = (/** @type {number} */ image) => (means && unit.unit < means.shape[1] ? number(means.data[image * means.shape[1] + unit.unit]) : "");
  if (kept < 0) {
    const own = Array.from({ length: Math.min(count, IMAGES) }, (_, image) => mean(image)).filter(Boolean);
    return html`<p class="dim">${older}Its maps were not kept: it is not among the ${item.shape[1]} most active units.${own.length > 0 && html` Mean of its positive part on each image: ${own.join(", ")}.`}</p>`;
  }
  const [tall, wide] = Array.isArray(record.meta.size) ? record.meta.size : item.shape.slice(2);
  const width = Math.round(Math.min(room.width, MAP * state.zoom * Math.min(1.6, Math.max(0.7, wide / tall))));
  const signed = range ? range.low < 0 : values !== null && finiteRange(values.data).low < 0;
  const bound = range && Math.max(-range.low, range.high);
  const scale = range && (signed ? { low: -Number(bound), high: Number(bound) } : { low: 0, high: Math.max(0, range.high) });
  return html`<figure class="own-maps">
    <ul>${Array.from({ length: Math.min(count, IMAGES) }, (_, image) => html`<li key=${image} style=${`width:${width}px`}>
      <${OneMap} ...${{ record, image, values, kept, scale, signed, width, height: Math.round((width * tall) / wide) }} />
      <p class="dim">${mean(image)}</p>
    </li>`)}</ul>
    <figcaption class="dim">${older}${count > IMAGES ? `the first ${IMAGES} of ${count} images; ` : ""}below: mean of the positive part.
      ${scale && html`<span class="scale-bar">${number(scale.low)}<i style=${`background:${gradient(signed ? "diverging" : "heat")}`}></i>${number(scale.high)}</span>`}</figcaption>
  </figure>`;
}

/** @param {{record: Rec, image: number, values: Values | null, kept: number, scale: import("../../render/palettes.js").Range | null, signed: boolean, width: number, height: number}} props */
function OneMap({ record, image, values, kept, scale, signed, width, height }) {
  const photograph = usePhotograph(record, image);
  const map = values && kept < values.shape[1] ? gridAt(values, image, kept) : null;
  const draw = useMemo(() => map && (() => drawMap(map, scale ?? finiteRange(map.data), signed ? "diverging" : "heat")), [values, image, kept, scale?.low, scale?.high]);
  const size = `width:${width}px;height:${height}px`;
  return html`<div class=${map ? "map-pair" : "map-pair waiting"}>
    ${photograph !== null && html`<div style=${size}><${Still} bitmap=${photograph?.bitmap} label=${`Photograph ${image}`} soft=${photograph ? photograph.width > width : true} /></div>`}
    <div style=${size} class="canvas-box"><${Canvas} draw=${draw} label=${`Map of image ${image}`} />${map && isZero(map.data) && html`<span class="all-zero">all zero</span>`}</div>
  </div>`;
}

/** One scale for the layer, over the shown runs and their epochs. @type {(lists: Rec[][], layer: string) => import("../../render/palettes.js").Range | null} */
function layerRange(lists, layer) {
  const ends = lists.flatMap((records) => drawnRecords(records, "activations", layer)).flatMap(({ meta }) => [Number(meta.vmin ?? NaN), Number(meta.vmax ?? NaN)]).filter(Number.isFinite);
  return ends.length ? { low: Math.min(...ends), high: Math.max(...ends) } : null;
}
