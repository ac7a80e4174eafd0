/** What lies under the pointer, in words, at the foot of the stage. */

import { photographOf } from "../../io/probe_images.js";
import { gridAt } from "../../render/maps.js";
import { number } from "../../render/text.js";
import { html, useState } from "../../vendor/htm-preact-3.1.1.js";
import { boxOf, classNameOf } from "./columns.js";

/** @typedef {import("./stage.js").Line} Line */
/** @typedef {import("./columns.js").Column} Column */
/** @typedef {{image: number, run: string, column: string, x: number, y: number}} Point  x, y: pixel of the image */

/** @param {{tell: {current: (point: Point | null) => void}, text: (point: Point) => string, hint: string}} props */
export function Readout({ tell, text, hint }) {
  const [point, setPoint] = useState(/** @type {Point | null} */ (null));
  tell.current = setPoint;
  return html`<p class="stage-foot readout">${point
    ? text(point)
    : html`<span class="dim">Point at a map to read its values. ${hint}</span>`}</p>`;
}

/**
 * @param {Point} point
 * @param {Line[]} lines
 * @param {Column[]} columns
 */
export function describe({ image, run, column: key, x, y }, lines, columns) {
  const line = lines.find((one) => one.run.run === run);
  const at = columns.findIndex((column) => column.key === key);
  const place = `x\u00a0${x}, y\u00a0${y}`;
  if (line && key === "photograph") return `Photograph, ${place}: ${colourAt(line, image, x, y)}`;
  if (!line || at < 0 || !line.cells[at].values) return place;
  const { record, item, values } = /** @type {any} */ (line.cells[at]);
  const { kind, layer, item: rule } = columns[at];
  if (kind.axes === 3) {
    const map = gridAt(values, image);
    const [row, column] = [Math.floor((y * map.height) / line.height), Math.floor((x * map.width) / line.width)];
    const about = line.labels[image]?.shown_name;
    const cell = map.height === line.height && map.width === line.width ? "" : `, row\u00a0${row}, column\u00a0${column} of ${map.height}\u00d7${map.width}`;
    const value = map.data[row * map.width + column];
    if (kind.colours === "class") return `${kind.title}, the most likely class: ${classNameOf(record, value)} with the square at row\u00a0${row}, column\u00a0${column} of ${map.height}\u00d7${map.width}`;
    return `${kind.title}${layer === "output" ? "" : ` of ${layer}`}${about ? ` for ${about}` : ""}: ${number(value)} at ${place}${cell}`;
  }
  const box = boxOf(record, item, image);
  const [inX, inY] = [x - box.left, y - box.top];
  const inside = inX >= 0 && inY >= 0 && inX < box.width && inY < box.height;
  const channels = [...Array(values.shape[1]).keys()].map((channel) => {
    const map = gridAt(values, image, channel);
    return number(inside ? map.data[inY * map.width + inX] : 0);
  });
  const [unit, [row, column] = [], activation] = [record.meta.units?.[image], record.meta.positions?.[image], record.meta.activations?.[image]];
  const what = unit === undefined ? "" : ` | unit ${unit} at row\u00a0${row}, column\u00a0${column}, activation ${number(activation)}`;
  return `${rule} of ${layer}: ${channels.join(", ")} at ${place}${what}`;
}

/** @type {(line: Line, image: number, x: number, y: number) => string} */
function colourAt(line, image, x, y) {
  const photograph = photographOf(line.photographed, image);
  if (!photograph) return "";
  const at = 4 * (y * photograph.width + x);
  return [...photograph.rgba.slice(at, at + 3)].join(", ");
}
