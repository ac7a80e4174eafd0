/** How large tiles are, and what is said of them. */

import { sheetOf } from "../../model/targets.js";
import { pixelRatio } from "../../render/canvas.js";
import { number, share } from "../../render/text.js";

/** @typedef {{width: number, height: number}} Size */

export const TILE_GAP = 12;
/** What stands below a tile, with the gap to the next. */
export const TILE_FOOT = 50;
/** The longer side of a tile where there is a choice. */
const SMALLEST = 128;
const LARGEST = 192;
/** Of one target over the epochs: the large image, and at least that of an epoch. */
const LARGE = 256;
const SMALL = 72;
const HISTORY_GAP = 16;
const FRAME_GAP = 8;
/** What stands below the image of an epoch, with the gap to the next. */
const FRAME_FOOT = 28;
/** So many are beside each other, or below the large image. */
const FEW = 3;

/** The room that the tiles of some records need, in their pixels. @param {Rec[]} records @returns {Size} */
export function tileSizeIn(records) {
  const sheets = records.flatMap((record) => sheetOf(record) ?? []);
  const most = (/** @type {"height" | "width"} */ side) => Math.max(1, ...sheets.map((sheet) => sheet[side]));
  return { width: most("width"), height: most("height") };
}

/**
 * A size times a factor: whole pixels of the screen for each of its own, or made smaller. It is not wider than the room.
 * @param {Size} size
 * @param {number} factor  pixels of the screen
 * @param {number} room  width, in CSS pixels
 * @returns {Size}
 */
export function enlarged({ width, height }, factor, room) {
  const ratio = pixelRatio();
  const most = Math.min(factor, (room * ratio) / width);
  const scale = (most < 1 ? most : Math.floor(most)) / ratio;
  return { width: width * scale, height: height * scale };
}

/**
 * The size of tiles, the same for all runs: as large as it takes to see all at once, if they can be; else the smallest.
 * @param {Size} tile
 * @param {number} count
 * @param {Size} room  of a run
 * @param {number} zoom
 */
export function layTiles(tile, count, room, zoom) {
  const [ratio, longest] = [pixelRatio(), Math.max(tile.width, tile.height)];
  const most = Math.floor((LARGEST * ratio) / longest);
  const factor = most < 1 ? across(tile, room.width) : (factorIn(tile, count, room, { most, gap: TILE_GAP, foot: TILE_FOOT }) ?? 0);
  return enlarged(tile, Math.max(factor, most < 1 ? 0 : Math.ceil((SMALLEST * ratio) / longest)) * zoom, room.width);
}

/** What makes tiles that are too large as wide as a part of the room. @param {Size} tile @param {number} room */
function across(tile, room) {
  const largest = (LARGEST * tile.width) / Math.max(tile.width, tile.height);
  const columns = Math.ceil((room + TILE_GAP) / (largest + TILE_GAP));
  return (((room + TILE_GAP) / columns - TILE_GAP) * pixelRatio()) / tile.width;
}

/** The largest factor with which all tiles fit, if there is one. @type {(tile: Size, count: number, room: Size, limits: {most: number, gap: number, foot: number}) => number | null} */
function factorIn(tile, count, room, { most, gap, foot }) {
  for (let factor = most; factor > 0; factor--) {
    const { width, height } = enlarged(tile, factor, room.width);
    const columns = Math.floor((room.width + gap) / (width + gap));
    if (Math.ceil(count / columns) * (height + foot) <= room.height) return factor;
  }
  return null;
}

/**
 * The size of a large image, and of those of all epochs: beside it where there is room, else below.
 * @param {Size} tile
 * @param {number} count  of epochs
 * @param {number} width
 * @param {number} zoom
 */
export function layHistory(tile, count, width, zoom) {
  const [ratio, longest] = [pixelRatio(), Math.max(tile.width, tile.height)];
  const large = enlarged(tile, (LARGE * zoom * ratio) / longest, width);
  const usual = (SMALL * ratio) / longest;
  const least = usual < 1 ? usual : Math.floor(usual);
  const beside = width - large.width - HISTORY_GAP;
  const below = beside < Math.min(count, FEW) * (enlarged(tile, least * zoom, width).width + FRAME_GAP) - FRAME_GAP;
  const room = below ? { width, height: large.height / 2 } : { width: beside, height: large.height };
  const fitting = factorIn(tile, count, room, { most: Math.floor((LARGEST * ratio) / longest), gap: FRAME_GAP, foot: FRAME_FOOT });
  return { large, small: enlarged(tile, Math.max(least, fitting ?? 0) * zoom, room.width), below };
}

/** How far an image got: the probability of its class, the activation of its unit. @param {Target} target */
export const reached = ({ probability, score }) => (probability != null ? share(probability) : score != null ? number(score) : "");

/** What is not as it should be, in a few words. @param {Target} target */
export function flaw({ mark, is_best: best }) {
  if (mark === "dead") return "";
  return [...(mark === "stopped" ? ["stopped early"] : []), ...(best ? [] : ["taken for another class"])].join(", ");
}

/** All that is known of an image. @param {Target} target */
export function described(target) {
  const { name, score, probability, mark, is_best: best } = target;
  if (mark === "dead") return `${name} is dead: nothing moves it.`;
  const parts = [...(probability == null ? [] : [`probability ${share(probability)}`]), ...(score == null ? [] : [`${probability == null ? "activation" : "score"} ${number(score)}`])];
  return [
    `${name}: ${parts.join(", ")}.`,
    ...(best ? [] : ["The model takes it for another class."]),
    ...(mark === "stopped" ? ["Its gradient became infinite or NaN: this is the last finite image."] : []),
  ].join(" ");
}

const STARTS = new Map([["cold", "from nothing"], ["warm", "from the drawing before"]]);

/** How images came about. @param {Meta} meta */
export function manner({ regularisation, steps, start }) {
  const how = regularisation === "own" ? "own regularisation" : regularisation;
  return [how, steps === undefined ? undefined : `${steps} steps`, STARTS.get(String(start))].filter(Boolean).join(", ");
}
