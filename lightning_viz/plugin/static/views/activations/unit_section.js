/** The maps of a unit for the images of the probe, on its page. */

import { Canvas, Still } from "../../components/canvas.js";
import { usePhotograph } from "../../io/probe_images.js";
import { activityOf, mapsOf, present, rangeIn } from "../../model/items.js";
import { drawnRecords, latestUntil } from "../../model/records.js";
import { drawMap, gridAt, isZero } from "../../render/maps.js";
import { finiteRange, gradient } from "../../render/palettes.js";
import { epochText, number } from "../../render/text.js";
import { html, useMemo } from "../../vendor/htm-preact-3.1.1.js";

const MAP = 70;
/** Images of the probe; more are left out. */
const IMAGES = 12;

/** @param {UnitProps} props */
function MapsOfUnit({ records, lists, unit, epoch, room, state, blobs }) {
  const { record } = latestUntil(records, "activations", unit.layer, epoch);
  const [item, activity] = [mapsOf(record), activityOf(record)];
  const values = /** @type {Values | null} */ (item ? blobs.get(item.url) : null);
  const means = /** @type {Values | null} */ (activity ? blobs.get(activity.url) : null);
  const range = useMemo(() => rangeIn(lists.flatMap((list) => drawnRecords(list, "activations", unit.layer))), [lists.flat().length, unit.layer]);
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

/** @type {UnitSection} */
export const mapsOfUnit = {
  key: "maps",
  order: 50,
  methods: ["activations"],
  title: () => "Activation maps on the probe images",
  has: (records, layer) => drawnRecords(records, "activations", layer).some(mapsOf),
  refs: (records, { layer }, epoch) => {
    const { record } = latestUntil(records, "activations", layer, epoch);
    return present(mapsOf(record), activityOf(record));
  },
  Cell: MapsOfUnit,
};
