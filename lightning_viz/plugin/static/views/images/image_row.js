/** One image of the probe with a line per run. Only groups near the visible part are drawn. */

import { Mark } from "../../components/run_mark.js";
import { useVisible } from "../../components/use_visible.js";
import { number, share } from "../../render/text.js";
import { html, useRef } from "../../vendor/htm-preact-3.1.1.js";
import { boxOf, frameOf } from "./columns.js";
import { MapCell, PhotographCell } from "./map_cell.js";

/** @typedef {import("./stage.js").Line} Line */
/** @typedef {import("./columns.js").Column} Column */

export const LINE_GAP = 6;

/**
 * @param {{image: number, lines: Line[], columns: Column[], photographs: boolean, heights: number[], height: number,
 *   shared: boolean, screen: number, opacity: number}} props  screen: height of the visible part
 */
export function ImageGroup({ image, lines, columns, photographs, heights, height, shared, screen, opacity }) {
  const group = useRef(/** @type {any} */ (null));
  const near = useVisible(group, "30% 0px", image * height < 1.5 * screen);
  const name = nameOf(lines, image);
  return html`<section class="image-row" ref=${group} data-image=${image} style=${`height:${height}px`} aria-label=${`image ${image}${name && `, ${name}`}`}>
    <h3>${name || `image ${image}`} <span class="dim">${name && `image ${image}`}${aboutOf(lines, image)}</span></h3>
    ${near && lines.map((line, place) => html`<div class="image-line map-columns" key=${line.run.run} data-run=${line.run.run} style=${`--height:${heights[place]}px`}>
      <${Said} line=${line} prediction=${line.predictions[image]} />
      ${photographs && html`<${PhotographCell} photographed=${line.photographed} image=${image} size=${line}
        boxes=${partsOf(line, columns, image)} label=${`Photograph ${image}${name && `, ${name}`}`} />`}
      ${columns.map((column, at) => html`<${MapCell} key=${column.key} found=${line.cells[at]} photographed=${line.photographed}
        size=${line} label=${`${column.kind.title}, ${column.layer}, ${column.item}, ${line.run.run}, image ${image}`}
        ...${{ column, image, shared, opacity }} />`)}
    </div>`)}
  </section>`;
}

/**
 * What the image is.
 * @param {Line[]} lines
 * @param {number} image
 */
const nameOf = (lines, image) =>
  [...new Set(lines.flatMap((line) => (line.labels[image]?.label_name != null ? [String(line.labels[image].label_name)] : [])))].join(" / ");

/**
 * Which class the maps are about, where that is not what the image is.
 * @param {Line[]} lines
 * @param {number} image
 */
function aboutOf(lines, image) {
  const other = lines.map((line) => line.labels[image]).filter((one) => one && one.shown !== one.label).map((one) => one.shown_name);
  return other.length ? `\u2002maps for ${[...new Set(other)].join(" / ")}` : "";
}

/**
 * The parts of the photograph that cells enlarge.
 * @param {Line} line
 * @param {Column[]} columns
 * @param {number} image
 */
function partsOf(line, columns, image) {
  const frames = columns.flatMap((column, at) => {
    const { record, item } = line.cells[at];
    return column.cut && record && item && image < item.shape[0] ? [frameOf(column, boxOf(record, item, image), line)] : [];
  });
  return [...new Map(frames.map((frame) => [JSON.stringify(frame), frame])).values()];
}

/** Where outputs are no class scores there is no probability. @type {(probability: Num, score: Num) => string} */
const strength = (probability, score) => (probability == null ? number(score) : share(probability));

/** The run, and what it takes the image for. @param {{line: Line, prediction: Prediction | undefined}} props */
function Said({ line, prediction }) {
  const wrong = prediction && prediction.label != null && prediction.label !== prediction.predicted;
  const other = prediction && prediction.shown !== prediction.predicted;
  const shown = prediction ? strength(prediction.shown_probability, prediction.shown_score) : "";
  return html`<div class="prediction" title=${line.run.run}>
    <${Mark} place=${line.place} /><span class="hidden">${line.run.run}: </span>
    ${prediction && html`<div>
      <p class=${wrong ? "prediction-wrong" : ""}><span class="ellipsis" title=${prediction.predicted_name}>${prediction.predicted_name}</span></p>
      <p class=${wrong ? "prediction-wrong" : ""}>${strength(prediction.predicted_probability, prediction.predicted_score)}${wrong && html` <svg width="10" height="10" viewBox="0 0 10 10" role="img" aria-label="wrong"><path d="M1 1L9 9M9 1L1 9" /></svg>`}</p>
      ${other && html`<p class="dim ellipsis" title=${`${prediction.shown_name} ${shown}`}>${shown} ${prediction.shown_name}</p>`}
    </div>`}
  </div>`;
}
