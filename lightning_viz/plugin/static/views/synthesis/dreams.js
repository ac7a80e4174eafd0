/** Dreams: a line per run, in it the photograph and what each layer made of it, from low to deep. */

import { Still } from "../../components/canvas.js";
import { OtherProbes } from "../../components/comparison.js";
import { RunHead } from "../../components/run_head.js";
import { useStageSize } from "../../components/use_stage_size.js";
import { usePhotograph } from "../../io/probe_images.js";
import { around, ascending } from "../../model/epochs.js";
import { pictureOf } from "../../model/items.js";
import { drawnRecords, latestUntil, otherProbes } from "../../model/records.js";
import { epochText, number, plenty } from "../../render/text.js";
import { html } from "../../vendor/htm-preact-3.1.1.js";
import { dreamSize, laidDreams } from "./dream_layout.js";
import { NoTile, sized } from "./tile.js";

const PADDING = 12;
const DREAM_GAP = 12;

/** @param {StageProps<import("./view.js").Own> & {head: unknown}} props  head: what stands at the top */
export function DreamStage({ state, runs, lists, epoch, go, blobs, head }) {
  const [stage, size] = useStageSize();
  const rows = laidDreams(lists);
  const inner = size.width - 2 * PADDING;
  return html`<div class="stage" ref=${stage}>
    <div class="comparison" style=${`--padding:${PADDING}px`}>
      <div class="stage-top">${head}</div>
      ${otherProbes(lists, ["deep_dream"]) && html`<${OtherProbes} />`}
      ${size.width > 0 && rows.map((row) => html`<section class="comparison-row" key=${row.name} data-method="deep_dream" aria-label=${row.name}>
        ${rows.length > 1 && html`<h3>${row.name}</h3>`}
        ${runs.map((run, place) => html`<div class="comparison-cell dream-run" key=${run.run} data-run=${run.run}>
          <${RunHead} ...${{ state, run }} />
          <${Line} records=${lists[place]} loaded=${run.run in state.records} ...${{ row, epoch, go, blobs }}
            size=${dreamSize(row, inner, DREAM_GAP, state.zoom)} />
        </div>`)}
      </section>`)}
    </div>
  </div>`;
}

/**
 * @param {{records: Rec[], loaded: boolean, row: import("./dream_layout.js").DreamRow, epoch: number, go: (epoch: number) => void,
 *   blobs: import("../../io/blob_cache.js").Blobs, size: import("./dream_layout.js").DreamSize}} props
 */
function Line({ records, loaded, row, epoch, go, blobs, size }) {
  const found = row.layers.map((layer) => latestUntil(records, "deep_dream", layer, epoch));
  const here = found.flatMap(({ record }) => record ?? []);
  const errors = [...new Set(found.flatMap(({ error, at }) => (error ? [`Drawing failed at epoch ${epochText(at ?? epoch)}: ${error}`] : [])))];
  const problems = errors.map((text) => html`<p key=${text} class="failed">${text}</p>`);
  if (!here.length) {
    const epochs = ascending(row.layers.flatMap((layer) => drawnRecords(records, "deep_dream", layer)).map((record) => record.epoch));
    if (errors.length) return html`<div>${problems}</div>`;
    if (!epochs.length) return html`<p class="dim">${loaded ? "This run has no dreams." : "…"}</p>`;
    return html`<div class="gap" style=${`height:${size.height}px;width:${size.columns * (size.width + DREAM_GAP) - DREAM_GAP}px`}><p>No dreams at epoch ${epochText(epoch)}.</p>
      <p>Nearest: ${around(epochs, epoch).map((other) => html`<button key=${other} class="link" onClick=${() => go(other)}>epoch ${epochText(other)}</button>`)}</p></div>`;
  }
  return html`<div>
    <ol class="dream-line" style=${`--tile:${size.width}px;--columns:${size.columns}`}>
      <li><${Photograph} record=${here[0]} size=${size} /></li>
      ${row.layers.map((layer, place) => html`<li key=${layer} data-layer=${layer}><${Dream} record=${found[place].record} layer=${row.titles[place]} first=${drawnRecords(records, "deep_dream", layer)[0]?.epoch} ...${{ size, blobs }} /></li>`)}
    </ol>
    ${problems}
    <p class="dream-note dim">${here[0].epoch === epoch ? "" : `from epoch ${epochText(here[0].epoch)}; `}${manner(here[0])}</p>
  </div>`;
}

/** How dreams came about. @param {Rec} record */
function manner({ meta: { steps, octaves } }) {
  if (!Array.isArray(octaves) || !octaves.length) return "";
  return `${plenty(Number(steps), "step")} in each of ${plenty(octaves.length, "octave")}, from ${octaves[0].join("\u00d7")} to ${octaves[octaves.length - 1].join("\u00d7")} pixels`;
}

/** @param {{record: Rec, size: import("./dream_layout.js").DreamSize}} props */
function Photograph({ record, size }) {
  const photograph = usePhotograph(record, Number(record.meta.image ?? 0));
  return html`<figure>
    ${photograph === null
      ? html`<${NoTile} size=${size}>the photograph was not kept<//>`
      : html`<div class=${photograph ? "canvas-box" : "canvas-box waiting"} style=${sized(size)}><${Still} bitmap=${photograph?.bitmap} label="The photograph" soft=${size.soft} /></div>`}
    <figcaption>photograph</figcaption>
  </figure>`;
}

/** @param {{record: Rec | null, layer: string, first: number | undefined, size: import("./dream_layout.js").DreamSize, blobs: import("../../io/blob_cache.js").Blobs}} props */
function Dream({ record, layer, first, size, blobs }) {
  const item = pictureOf(record);
  if (!record || !item) return html`<figure><${NoTile} size=${size}>${first === undefined ? "not in this run" : `none until epoch ${epochText(first)}`}<//><figcaption><p class="dim ellipsis">${layer}</p></figcaption></figure>`;
  const bitmap = /** @type {ImageBitmap | null} */ (blobs.get(item.url));
  const { unit } = record.meta;
  const name = unit == null ? layer : `${layer} unit ${unit}`;
  return html`<figure>
    ${blobs.failure(item.url)
      ? html`<${NoTile} size=${size}>${blobs.failure(item.url)}<//>`
      : html`<div class=${bitmap ? "canvas-box" : "canvas-box waiting"} style=${sized(size)}><${Still} bitmap=${bitmap ?? undefined} label=${`What ${layer} saw, amplified`} soft=${size.soft} /></div>`}
    <figcaption><p class="ellipsis" title=${name}>${name}</p>${record.scalars.growth !== undefined && html`<p class="dim" title="Half the squared norm of the activation, against that of the photograph">grown ${number(record.scalars.growth)}\u00d7</p>`}</figcaption>
  </figure>`;
}
