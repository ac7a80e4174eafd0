/** The strongest patches of units beside their reconstructions, in two blocks per unit, as many units in a line as fit. */

import { ascending } from "../model/epochs.js";
import { present } from "../model/items.js";
import { entriesOf, mosaicOf, patchesIn, proportions, tableIn, TABLES, tableOf, tileIn, tileSize, unitsIn } from "../model/patch_tables.js";
import { openUnit } from "../model/state.js";
import { number, range as span } from "../render/text.js";
import { freshCanvas } from "../render/canvas.js";
import { putTile } from "../render/tile.js";
import { html, useLayoutEffect, useRef } from "../vendor/htm-preact-3.1.1.js";
import { picturesNeeded } from "./pictures_cell.js";
import { placeIn, usePointer } from "./use_pointer.js";
import { useVisible } from "./use_visible.js";

/** @typedef {"patch" | "projection"} Side */

/** @type {Side[]} */
const SIDES = ["patch", "projection"];
const WORDS = { patch: "patch", projection: "reconstruction" };
const TILE_GAP = 3;
const SIDE_GAP = 8;
const UNIT_GAP = 20;
const LABEL = 26;

/**
 * Where everything lies, in CSS pixels; the same for all runs of a layer.
 * @typedef {Object} Blocks
 * @property {number} across  patches in a line of a block
 * @property {number} down
 * @property {number} tileWidth
 * @property {number} tileHeight
 * @property {number} side  width of a block
 * @property {number} unitWidth
 * @property {number} unitHeight
 * @property {number} label
 * @property {number} columns  units in a line
 * @property {number} width
 * @property {number} height
 */

/**
 * @param {number} count
 * @param {Rec[]} related
 * @param {number} width
 * @param {number} target  width of a tile where there is room for several units
 * @param {number} most  width of a tile at most
 * @param {boolean} labelled
 * @returns {Blocks}
 */
export function layBlocks(count, related, width, target, most, labelled) {
  const k = Math.max(1, ...related.map(patchesIn));
  const { tall, wide } = proportions(related);
  const across = Math.ceil(Math.sqrt(k));
  const down = Math.ceil(k / across);
  const blocks = (/** @type {number} */ tile) => 2 * (across * (tile + TILE_GAP) - TILE_GAP) + SIDE_GAP;
  const columns = Math.max(1, Math.min(count, Math.floor((width + UNIT_GAP) / (blocks(target) + UNIT_GAP))));
  const free = (width + UNIT_GAP) / columns - UNIT_GAP;
  const tile = Math.max(8, Math.min(most, Math.floor(((free - SIDE_GAP) / 2 + TILE_GAP) / across - TILE_GAP)));
  const [tileWidth, tileHeight, label] = [tile, Math.round((tile / wide) * tall), labelled ? LABEL : 0];
  const side = across * (tileWidth + TILE_GAP) - TILE_GAP;
  const [unitWidth, unitHeight] = [2 * side + SIDE_GAP, label + down * (tileHeight + TILE_GAP) - TILE_GAP];
  return {
    across, down, tileWidth, tileHeight, side, unitWidth, unitHeight, label, columns,
    width: columns * (unitWidth + UNIT_GAP) - UNIT_GAP,
    height: Math.ceil(count / columns) * (unitHeight + UNIT_GAP) - UNIT_GAP,
  };
}

/** @param {Blocks} blocks @param {number} place  of a unit */
const cornerOf = (blocks, place) => ({
  left: (place % blocks.columns) * (blocks.unitWidth + UNIT_GAP),
  top: Math.floor(place / blocks.columns) * (blocks.unitHeight + UNIT_GAP),
});

/** @type {(blocks: Blocks, place: number, side: number, rank: number) => {left: number, top: number, width: number, height: number}} */
function fieldOf(blocks, place, side, rank) {
  const { left, top } = cornerOf(blocks, place);
  return {
    left: left + side * (blocks.side + SIDE_GAP) + (rank % blocks.across) * (blocks.tileWidth + TILE_GAP),
    top: top + blocks.label + Math.floor(rank / blocks.across) * (blocks.tileHeight + TILE_GAP),
    width: blocks.tileWidth, height: blocks.tileHeight,
  };
}

/** @type {(blocks: Blocks, units: number, k: number, x: number, y: number) => {place: number, side: number, rank: number} | null} */
function tileAt(blocks, units, k, x, y) {
  const column = Math.floor(x / (blocks.unitWidth + UNIT_GAP));
  const place = Math.floor(y / (blocks.unitHeight + UNIT_GAP)) * blocks.columns + column;
  const { left, top } = cornerOf(blocks, place);
  const side = x - left >= blocks.side + SIDE_GAP ? 1 : 0;
  const inX = Math.floor((x - left - side * (blocks.side + SIDE_GAP)) / (blocks.tileWidth + TILE_GAP));
  const rank = Math.floor((y - top - blocks.label) / (blocks.tileHeight + TILE_GAP)) * blocks.across + inX;
  const inside = column < blocks.columns && place < units && inX >= 0 && inX < blocks.across && rank >= 0 && rank < k;
  return inside ? { place, side, rank } : null;
}

/** What is to be fetched for a record. @param {Rec} record @returns {Item[]} */
export function patchesNeeded(record) {
  if (!tileSize(record)) return picturesNeeded(record);
  return present(...SIDES.map((side) => mosaicOf(record, side)), ...TABLES.map((name) => tableIn(record, name)));
}

/**
 * @param {Object} props
 * @param {Rec} props.record
 * @param {number[]} props.units  of those that have pictures
 * @param {Blocks} props.blocks
 * @param {import("../io/blob_cache.js").Blobs} props.blobs
 * @param {Dispatch} props.dispatch
 * @param {Unit | null} props.chosen
 * @param {unknown} props.note  Said while nothing is pointed at.
 */
export function PatchGrid({ record, units, blocks, blobs, dispatch, chosen, note }) {
  const [point, follow] = usePointer();
  const canvas = useRef(/** @type {any} */ (null));
  const drawn = useRef({ key: "", on: null });
  const visible = useVisible(canvas);
  const k = patchesIn(record);
  const pictures = SIDES.map((side) => mosaicOf(record, side).url);
  const there = pictures.every((url) => blobs.get(url));
  const failure = pictures.map((url) => blobs.failure(url)).find(Boolean);
  useLayoutEffect(() => {
    const key = JSON.stringify([pictures, units, blocks]);
    if (!there || !visible || (drawn.current.key === key && drawn.current.on === canvas.current)) return;
    drawn.current = { key, on: canvas.current };
    const context = freshCanvas(canvas.current, blocks);
    units.forEach((unit, place) =>
      SIDES.forEach((what, side) => {
        for (let rank = 0; rank < k; rank++) {
          const tile = tileIn(blobs, record, what, unit, rank);
          if (tile) putTile(context, tile, fieldOf(blocks, place, side, rank));
        }
      }),
    );
  });
  const hit = point && tileAt(blocks, units.length, k, point.x, point.y);
  const values = tableOf(blobs, record, "values");
  return html`<figure class="patch-grid">
    <div class=${there || failure ? "patch-blocks" : "patch-blocks waiting"} style=${`width:${blocks.width}px;height:${blocks.height}px`}>
      <canvas ref=${canvas} role="img" class=${blocks.label ? "opens" : undefined}
        aria-label=${`The ${k} strongest patches of ${units.length === 1 ? `unit ${units[0]}` : `${units.length} units`}, each beside its reconstruction, layer ${record.layer}`} ...${follow}
        onClick=${(/** @type {any} */ event) => {
          const { x, y } = placeIn(event);
          const under = tileAt(blocks, units.length, k, x, y);
          if (under && blocks.label) dispatch(openUnit, record.layer, units[under.place]);
        }}></canvas>
      ${blocks.label > 0 && units.map((unit, at) => {
        const { left, top } = cornerOf(blocks, at);
        const own = entriesOf(values, unit).slice(0, k).filter(Number.isFinite);
        return html`<p key=${unit} class="patch-head" style=${`left:${left}px;top:${top}px;width:${blocks.unitWidth}px`}>
          <button class=${chosen?.layer === record.layer && chosen.unit === unit ? "unit-link chosen" : "unit-link"} aria-label=${`Open unit ${unit} of ${record.layer}`} onClick=${() => dispatch(openUnit, record.layer, unit)}>unit ${unit}</button>
          <span class="dim nowrap">${own.length > 0 && span(own[0], /** @type {number} */ (own.at(-1)))}</span>
        </p>`;
      })}
      ${hit && [0, 1].map((side) => {
        const { left, top, width, height } = fieldOf(blocks, hit.place, side, hit.rank);
        return html`<i key=${side} class="pointed-at" style=${`left:${left}px;top:${top}px;width:${width}px;height:${height}px`}></i>`;
      })}
    </div>
    <figcaption class="readout sticky-caption">${failure ? html`<span class="failed">${failure}</span>` : hit ? reading(blobs, record, units[hit.place], hit) : html`<span class="dim">${note}</span>`}</figcaption>
  </figure>`;
}

/** @type {(blobs: import("../io/blob_cache.js").Blobs, record: Rec, unit: number, hit: {side: number, rank: number}) => string} */
function reading(blobs, record, unit, { side, rank }) {
  const [value, image, position, box] = TABLES.map((name) => entriesOf(tableOf(blobs, record, name), unit, rank));
  const who = `unit ${unit}, ${WORDS[SIDES[side]]} ${rank + 1}`;
  if (!image.length || image[0] < 0) return `${who}: there is no further image`;
  const [top, left, bottom, right] = box;
  return `${who}: image ${image[0]}, activation ${number(value[0])} at row\u00a0${position[0]}, column\u00a0${position[1]}; sees rows ${number(top)} to ${number(bottom - 1)}, columns ${number(left)} to ${number(right - 1)}`;
}

/** The units of a record, the same order everywhere. @param {Rec[]} records */
export const allUnits = (records) => ascending(records.flatMap(unitsIn));
