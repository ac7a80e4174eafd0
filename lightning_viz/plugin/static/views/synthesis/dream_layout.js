/** Which dreams there are, in which order, and how large. */

import { pictureOf } from "../../model/items.js";
import { pixelRatio } from "../../render/canvas.js";

/** @typedef {{name: string, layers: string[], titles: string[], image: {width: number, height: number}}} DreamRow  The dreams of one callback. */
/** @typedef {{width: number, height: number, columns: number, soft: boolean}} DreamSize */

/** Narrower ones say nothing: then they stand in several lines. */
const NARROWEST = 128;

/** What the page calls a layer, without the name of its callback. @param {Rec} record */
const titleOf = ({ layer }) => layer.split(" \u00b7 ")[0];

/**
 * The dreams of some runs: those of a callback in one row, its layers from low to deep.
 * @param {Rec[][]} lists
 * @returns {DreamRow[]}
 */
export function laidDreams(lists) {
  const records = lists.flat().filter((record) => record.method === "deep_dream");
  const drawn = records.filter((record) => !record.error);
  if (records.length && !drawn.length) return [{ name: "", layers: [""], titles: [""], image: { width: 1, height: 1 } }]; // failures have no layer
  return [...new Set(drawn.map((record) => record.name))].map((name) => {
    const own = drawn.filter((record) => record.name === name).sort((a, b) => Number(a.meta.order ?? 0) - Number(b.meta.order ?? 0));
    const shapes = own.map((record) => pictureOf(record)?.shape ?? []).filter((shape) => shape.length === 3);
    return {
      name,
      layers: [...new Set(own.map((record) => record.layer))],
      titles: [...new Map(own.map((record) => [record.layer, titleOf(record)])).values()],
      image: { width: Math.max(1, ...shapes.map(([, width]) => width)), height: Math.max(1, ...shapes.map(([height]) => height)) },
    };
  });
}

/**
 * As large as fits beside each other with the photograph: in whole pixels of the screen, or made smaller.
 * @param {DreamRow} row
 * @param {number} width
 * @param {number} gap
 * @param {number} zoom
 * @returns {DreamSize}
 */
export function dreamSize({ layers, image }, width, gap, zoom) {
  const [ratio, count] = [pixelRatio(), layers.length + 1];
  const fit = (((width + gap) / count - gap) * ratio) / image.width;
  const least = Math.min(1, (NARROWEST * ratio) / image.width);
  const usual = fit >= 1 ? Math.floor(fit) : Math.max(least, fit);
  const zoomed = usual * zoom >= 1 ? Math.floor(usual * zoom) : usual * zoom;
  const scale = Math.min(zoomed, (width * ratio) / image.width) / ratio;
  const columns = Math.max(1, Math.min(count, Math.floor((width + gap) / (image.width * scale + gap))));
  return { width: image.width * scale, height: image.height * scale, columns, soft: scale * ratio < 1 };
}
