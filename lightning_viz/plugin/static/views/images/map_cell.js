/** One map of one image, or the photograph beside it: drawn from raw values; a mark follows the pointer in the others. */

import { Canvas, Still } from "../../components/canvas.js";
import { usePhotograph } from "../../io/probe_images.js";
import { drawClasses, drawMap, drawOverlay, drawSigned, gridAt, isZero, largest, partOf, resize } from "../../render/maps.js";
import { finiteRange } from "../../render/palettes.js";
import { html, useMemo } from "../../vendor/htm-preact-3.1.1.js";
import { boxOf, frameOf } from "./columns.js";

/** @typedef {import("./columns.js").Column} Column */
/** @typedef {import("../../render/maps.js").Box} Box */
/** @typedef {{height: number, width: number}} Size */

/**
 * What there is of a column for a run at an epoch; the same for all images.
 * @typedef {Object} Found
 * @property {Rec | null} record
 * @property {Item | null} item
 * @property {Values | null} values  Null: on their way, or there are none.
 * @property {string} why  Why there is nothing, in few words.
 */

/** @param {Box} frame */
const frameStyle = ({ top, left, height, width }) => `--top:${top};--left:${left};--tall:${height};--wide:${width}`;

/**
 * @param {Object} props
 * @param {Column} props.column
 * @param {Found} props.found
 * @param {number} props.image
 * @param {Size} props.size  of the image
 * @param {boolean} props.shared  Whether the column has one scale.
 * @param {number} props.opacity
 * @param {Rec | null} props.photographed  A record whose probe has the photograph.
 * @param {string} props.label
 */
export function MapCell({ column, found, image, size, shared, opacity, photographed, label }) {
  const { record, item, values, why } = found;
  const { kind } = column;
  // Two callbacks of one run may have looked at different images.
  const photograph = usePhotograph(kind.over ? (record?.photographs ? record : photographed) : null, image);
  const there = values !== null && image < values.shape[0];
  const draw = useMemo(() => {
    if (!there || photograph === undefined) return null;
    return drawing(/** @type {any} */ (found), column, image, size, shared, opacity, photograph);
  }, [values, image, size.height, size.width, shared && column.range?.low, shared && column.range?.high, column.cut?.width, kind.over && opacity, photograph]);
  const empty = useMemo(() => values !== null && there && kind.colours !== "class" && isZero(partOf(values, image)), [values, image]);
  if (!record || !item || (values && !there)) return html`<div class="image-cell no-map"><span>${why || "no such image"}</span></div>`;
  const frame = frameOf(column, boxOf(record, item, image), size);
  const few = !kind.over && !column.cut && (values?.shape.at(-1) ?? size.width) < size.width;
  return html`<div class=${`image-cell map-cell${column.cut || few ? " enlarged" : ""}${draw ? "" : " waiting"}`} data-column=${column.key} style=${frameStyle(frame)}>
    <${Canvas} draw=${draw} label=${label} soft=${kind.over} />
    ${empty && html`<span class="all-zero">all zero</span>`}
  </div>`;
}

/**
 * @param {{record: Rec, item: Item, values: Values}} found
 * @param {Column} column
 * @param {number} image
 * @param {Size} size
 * @param {boolean} shared
 * @param {number} opacity
 * @param {import("../../io/probe_images.js").Photograph | null} photograph
 * @returns {() => ImageData}
 */
function drawing({ record, item, values }, column, image, size, shared, opacity, photograph) {
  const { colours, over } = column.kind;
  const scaled = shared ? values.data : partOf(values, image);
  if (colours === "signed") {
    const box = boxOf(record, item, image);
    const frame = frameOf(column, box, size);
    return () => drawSigned(values, image, box, (shared && column.range?.high) || largest(scaled), frame);
  }
  const map = gridAt(values, image);
  if (colours === "class") return () => drawClasses(map);
  const range = (shared && column.range) || fromZero(finiteRange(scaled));
  if (!over) return () => drawMap(map, range, colours);
  if (!photograph) return () => drawMap(resize(map, size.height, size.width), range, colours);
  return () => drawOverlay(map, range, photograph, opacity, colours);
}

/** @param {import("../../render/palettes.js").Range} range */
const fromZero = ({ high }) => ({ low: 0, high: Math.max(0, high) });

/**
 * @param {{photographed: Rec | null, image: number, size: Size, boxes: Box[], label: string}} props  boxes: what other
 *   cells show a part of
 */
export function PhotographCell({ photographed, image, size, boxes, label }) {
  const photograph = usePhotograph(photographed, image);
  if (photograph === null) return html`<div class="image-cell no-map"><span>no photograph</span></div>`;
  const frame = { top: 0, left: 0, ...size };
  return html`<div class=${photograph ? "image-cell map-cell" : "image-cell map-cell waiting"} data-column="photograph" style=${frameStyle(frame)}>
    <${Still} bitmap=${photograph?.bitmap} label=${label} />
    ${boxes.map((box, place) => html`<i key=${place} class="photograph-part" style=${partStyle(box, size)}></i>`)}
  </div>`;
}

/** @type {(box: Box, size: Size) => string} */
const partStyle = (box, { height, width }) =>
  `left:${(100 * box.left) / width}%;top:${(100 * box.top) / height}%;width:${(100 * box.width) / width}%;height:${(100 * box.height) / height}%`;
