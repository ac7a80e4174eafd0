/** The images of a layer in one run: a tile for each target, in the same order and of the same size in all runs. */

import { PicturesCell } from "../../components/pictures_cell.js";
import { pictureOf } from "../../model/items.js";
import { allTargets, isOfUnits, sheetOf, targetOf, targetTile } from "../../model/targets.js";
import { assign, openUnit } from "../../model/state.js";
import { epochText, share } from "../../render/text.js";
import { html, useMemo } from "../../vendor/htm-preact-3.1.1.js";
import { described, flaw, layTiles, manner, reached, tileSizeIn } from "./layout.js";
import { NoTile, Tile } from "./tile.js";

/** @param {CellProps<import("./view.js").Own>} props */
export function TargetsCell(props) {
  const { record, error, related, room, state, dispatch, blobs, epoch } = props;
  const [targets, tile] = useMemo(() => [allTargets(related), tileSizeIn(related)], [related]);
  const item = pictureOf(record);
  if (!sheetOf(record) || !item) return html`<${PicturesCell} ...${props} />`;
  const failure = blobs.failure(item.url);
  const size = layTiles(tile, targets.length, room, state.zoom);
  /** @param {number} unit */
  const isChosen = (unit) => state.target?.layer === record.layer && state.target.unit === unit;
  /** @param {number} unit */
  function pick(unit) {
    if (isOfUnits(record)) dispatch(openUnit, record.layer, unit);
    else dispatch(assign, { target: isChosen(unit) ? null : { layer: record.layer, unit } });
  }
  return html`<figure>
    <ol class=${blobs.get(item.url) || failure ? "synthesis-targets" : "synthesis-targets waiting"} style=${`--tile:${size.width}px`}>
      ${targets.map(({ unit, name }) => html`<${OneTarget} key=${unit} ...${{ record, unit, name, size, blobs, pick }} chosen=${isChosen(unit)} />`)}
    </ol>
    <figcaption class="sticky-caption">
      <p>${record.scalars.probability !== undefined && html`<span class="caption-subject">mean probability ${share(record.scalars.probability)}</span>`}<span
        class="dim">${record.epoch === epoch ? "" : `from epoch ${epochText(record.epoch)}; `}${manner(record.meta)}</span></p>
      ${failure && html`<p class="failed">${failure}</p>`}
      ${error && html`<p class="failed"><b>The last drawing failed.</b> ${error}</p>`}
    </figcaption>
  </figure>`;
}

/**
 * @param {{record: Rec, unit: number, name: string, size: {width: number, height: number}, chosen: boolean,
 *   blobs: import("../../io/blob_cache.js").Blobs, pick: (unit: number) => void}} props
 */
function OneTarget({ record, unit, name, size, chosen, blobs, pick }) {
  const { place, target } = targetOf(record, unit);
  if (!target) return html`<li class="synthesis-target"><${NoTile} size=${size}>none in this drawing<//><p class="dim ellipsis">${name}</p></li>`;
  const says = described(target);
  const wrong = target.mark !== "dead" && !target.is_best;
  return html`<li class="synthesis-target" data-unit=${unit}>
    <button title=${says} aria-label=${`${says} ${isOfUnits(record) ? `Open unit ${unit} of ${record.layer}` : "Show it over the epochs"}`} aria-pressed=${isOfUnits(record) ? undefined : chosen} onClick=${() => pick(unit)}>
      ${target.mark === "dead" ? html`<${NoTile} size=${size}>dead: nothing moves it<//>` : html`<${Tile} tile=${targetTile(blobs, record, place)} size=${size} label=${says} />`}
    </button>
    <p><span class="ellipsis">${target.name}</span><span class=${wrong ? "failed nowrap" : "nowrap"}>${reached(target)}</span></p>
    <p class=${wrong ? "failed ellipsis" : "dim ellipsis"}>${flaw(target)}</p>
  </li>`;
}

