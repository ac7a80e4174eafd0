/** One target in one run: its image at the epoch, large, and small ones of all epochs. */

import { thinned } from "../../components/film_strip_layout.js";
import { ascending } from "../../model/epochs.js";
import { present, pictureOf } from "../../model/items.js";
import { sheetOf, targetOf, targetTile } from "../../model/targets.js";
import { epochText } from "../../render/text.js";
import { html } from "../../vendor/htm-preact-3.1.1.js";
import { flaw, layHistory, manner, reached, tileSizeIn } from "./layout.js";
import { NoTile, Tile } from "./tile.js";

/** Small images; of more epochs some are left out. */
const MOST = 16;

/** @param {Rec[]} related */
const allEpochs = (related) => ascending(related.filter(sheetOf).map((record) => record.epoch));

/** The epochs of some records, of many only some. @param {Rec[]} related @param {number} epoch */
const epochsIn = (related, epoch) => thinned(allEpochs(related), MOST, epoch);

/**
 * The pictures that it takes.
 * @param {Rec[]} drawn  of a layer in a run, in the order of epochs
 * @param {Rec[]} related  the same of all runs
 * @param {number} epoch
 */
export function historyNeeds(drawn, related, epoch) {
  const shown = epochsIn(related, epoch);
  const now = drawn.findLast((record) => record.epoch <= epoch);
  return [...new Set([...drawn.filter((record) => shown.includes(record.epoch)), ...(now ? [now] : [])])].flatMap((record) => present(pictureOf(record)));
}

/**
 * @param {Object} props
 * @param {Rec[]} props.drawn  of the layer in the run, in the order of epochs
 * @param {Rec[]} props.related  the same of all runs
 * @param {number} props.unit
 * @param {number} props.epoch
 * @param {number} props.width
 * @param {number} props.zoom
 * @param {(epoch: number) => void} props.go
 * @param {import("../../io/blob_cache.js").Blobs} props.blobs
 */
export function History({ drawn, related, unit, epoch, width, zoom, go, blobs }) {
  const now = drawn.findLast((record) => record.epoch <= epoch);
  const first = drawn.find((record) => targetOf(record, unit).target);
  const empty = !first ? "not in this run" : first.epoch <= epoch ? "none in this drawing" : `none until epoch ${epochText(first.epoch)}`;
  const epochs = epochsIn(related, epoch);
  const { large, small, below } = layHistory(tileSizeIn(related), epochs.length, width, zoom);
  return html`<figure class=${below ? "synthesis-history below" : "synthesis-history"} style=${`--large:${large.width}px`}>
    <${Image} record=${now} ...${{ unit, size: large, blobs, empty }} dead="dead: nothing moves it" />
    <ol style=${`--tile:${Math.max(24, small.width)}px`}>
      ${epochs.map((one) => {
        const record = drawn.find((other) => other.epoch === one);
        const { target } = targetOf(record, unit);
        return html`<li key=${one}><button title=${`Go to epoch ${epochText(one)}`} aria-current=${one === now?.epoch ? "true" : undefined} onClick=${() => go(one)}>
          <${Image} ...${{ record, unit, size: small, blobs }} empty="none" dead="dead" />
          <span class="synthesis-epoch"><span>${epochText(one)}</span><span class=${target && target.mark !== "dead" && !target.is_best ? "failed" : undefined}>${target && reached(target)}</span></span>
        </button></li>`;
      })}
    </ol>
    <${Said} record=${now} ...${{ unit, epoch }} shown=${epochs.length} all=${allEpochs(related).length} />
  </figure>`;
}

/** @param {{record: Rec | undefined, unit: number, size: {width: number, height: number}, blobs: import("../../io/blob_cache.js").Blobs, empty: string, dead: string}} props */
function Image({ record, unit, size, blobs, empty, dead }) {
  const { place, target } = targetOf(record, unit);
  if (!record || !target) return html`<${NoTile} size=${size}>${empty}<//>`;
  if (target.mark === "dead") return html`<${NoTile} size=${size}>${dead}<//>`;
  if (blobs.failure(pictureOf(record)?.url ?? "")) return html`<${NoTile} size=${size}>failed<//>`;
  return html`<${Tile} tile=${targetTile(blobs, record, place)} size=${size} label=${`${target.name} at epoch ${epochText(record.epoch)}`} />`;
}

/** What is known of the large one. @param {{record: Rec | undefined, unit: number, epoch: number, shown: number, all: number}} props */
function Said({ record, unit, epoch, shown, all }) {
  const { target } = targetOf(record, unit);
  if (!record || !target) return html`<figcaption></figcaption>`;
  const older = record.epoch === epoch ? "" : `from epoch ${epochText(record.epoch)}; `;
  const what = target.probability == null ? "activation" : "probability";
  return html`<figcaption>${target.mark !== "dead" && html`<p>${what} ${reached(target)}${flaw(target) && html`<span class=${target.is_best ? "dim" : "failed"}>, ${flaw(target)}</span>`}</p>`}
    <p class="dim">${older}${manner(record.meta)}${shown < all && `; ${shown} of ${all} epochs`}</p></figcaption>`;
}
