/** Columns are runs, rows are layers; each cell is what the view makes of a record, or says why there is none. */

import { around, nearest } from "../model/epochs.js";
import { pictureOf } from "../model/items.js";
import { history, layersOf, otherProbes, recordAt } from "../model/records.js";
import { epochText } from "../render/text.js";
import { html } from "../vendor/htm-preact-3.1.1.js";
import { enlargement } from "./picture.js";
import { RunHead } from "./run_head.js";
import { useStageSize } from "./use_stage_size.js";

const NARROWEST = 190;
const PADDING = 12;
/** What is above and below a picture: name of the layer, caption. */
const AROUND = 76;

/** @param {StageProps} props */
export function Comparison(props) {
  const { state, dispatch, view, epoch, blobs, runs, lists, go } = props;
  const [stage, size] = useStageSize();
  const rows = rowsOf(view, lists);
  const gap = runs.length > 3 ? 12 : 24;
  const inner = size.width - 2 * PADDING;
  const beside = Math.max(NARROWEST, Math.floor((inner - gap * (runs.length - 1)) / runs.length));
  const stacked = runs.length > 1 && beside < (view.narrowest?.(lists) ?? 0);
  const width = stacked ? inner : beside;
  // A second row should peep out below the first.
  const height = Math.max(120, (size.height - AROUND) * (rows.length > 1 ? 0.75 : 1));

  return html`<div class="stage" ref=${stage}>
    <div class="comparison" style=${`--column:${width}px;--columns:${stacked ? 1 : runs.length};--gap:${gap}px;--padding:${PADDING}px`}>
      <div class="stage-top">
        ${view.Top && html`<${view.Top} ...${props} />`}
        ${!stacked && html`<div class="run-heads">${runs.map((run) => html`<${RunHead} key=${run.run} state=${state} run=${run} />`)}</div>`}
      </div>
      ${otherProbes(lists, view.methods) && html`<${OtherProbes} />`}
      ${size.width > 0 && rows.map((row) => {
        const { method, layer } = row;
        const related = relatedRecords(lists, method, layer);
        return html`<section class="comparison-row" key=${`${method} ${layer}`} data-method=${method} data-layer=${layer} aria-label=${`layer ${row.title ?? layer}`}>
          <h3>${row.title ?? (layer || "no layer")}</h3>
          ${view.Above && html`<${view.Above} ...${props} row=${row} width=${inner} column=${width} />`}
          <div class="comparison-cells">
            ${runs.map((run, place) => html`<div class="comparison-cell" key=${run.run} data-run=${run.run}>
              ${stacked && html`<${RunHead} state=${state} run=${run} />`}
              <${Cell} records=${lists[place]} lists=${lists} loaded=${run.run in state.records} row=${row} related=${related}
                room=${{ width, height }} ...${{ state, dispatch, view, epoch, blobs, go }} />
            </div>`)}
          </div>
        </section>`;
      })}
    </div>
  </div>`;
}

/** @type {(view: View, lists: Rec[][]) => Row[]} */
function rowsOf(view, lists) {
  if (view.rows) return view.rows(lists);
  const [method] = view.methods;
  const layers = layersOf(lists, method);
  const failedOnly = !layers.length && lists.some((records) => history(records, method, "").length > 0);
  return (failedOnly ? [""] : layers).map((layer) => ({ method, layer }));
}

export const OtherProbes = () => html`<p class="notice">
  These pictures were not drawn from the same probe images, so compare them with care.
</p>`;

/**
 * @param {{records: Rec[], lists: Rec[][], loaded: boolean, row: Row, related: Rec[], room: {width: number, height: number},
 *   state: State, dispatch: Dispatch, view: View, epoch: number, blobs: import("../io/blob_cache.js").Blobs, go: (epoch: number) => void}} props
 */
function Cell({ records, lists, loaded, row: { method, layer }, related, room, state, dispatch, view, epoch, blobs, go }) {
  /** @type {import("../model/records.js").Found} */
  const { record, error, at = epoch } = (view.find ?? recordAt)(records, method, layer, epoch);
  if (record) return html`<${view.Cell} ...${{ record, error, records, lists, related, room, state, dispatch, blobs, epoch, go }} />`;
  const epochs = history(records, method, layer).filter((one) => !one.error).map((one) => one.epoch);
  const like = history(records, method, layer).find((one) => one.epoch === nearest(epochs, epoch));
  // A failure without a layer concerns every layer that the run has; or all of them when it has none.
  if (error && (epochs.length || !layersOf([records], method).length)) {
    return html`<div class="gap" style=${roomOf(like, room)}>
      <p class="failed"><b>Drawing failed at epoch ${epochText(at)}.</b><br />${error}</p>
    </div>`;
  }
  if (!loaded) return html`<div class="gap waiting"><p>…</p></div>`;
  if (!epochs.length) return html`<p class="dim">This run has nothing of ${layer}.</p>`;
  return html`<div class="gap" style=${roomOf(like, room)}>
    <p>No picture at epoch ${epochText(epoch)}.</p>
    <p>Nearest:
      ${around(epochs, epoch).map((other) => html`<button key=${other} class="link" onClick=${() => go(other)}>epoch ${epochText(other)}</button>`)}
    </p>
  </div>`;
}

/**
 * A missing picture keeps the place of its neighbours in time, so that nothing jumps.
 * @param {Rec | undefined} like
 * @param {{width: number, height: number}} room
 */
function roomOf(like, room) {
  const [height = 96, width = 160] = pictureOf(like)?.shape ?? [];
  const scale = enlargement({ width, height }, room, 1);
  return `min-height:${Math.min(room.height, scale * height)}px;width:${Math.min(room.width, scale * width)}px`;
}

/** @type {WeakMap<Rec[], Map<string, {lists: Rec[][], related: Rec[]}>>} */
const remembered = new WeakMap();

/**
 * The records of a layer in all shown runs; the same array as long as nothing came.
 * @param {Rec[][]} lists
 * @param {string} method
 * @param {string} layer
 */
function relatedRecords(lists, method, layer) {
  const known = remembered.get(lists[0]) ?? new Map();
  remembered.set(lists[0], known);
  const key = JSON.stringify([method, layer]);
  const before = known.get(key);
  if (before && before.lists.length === lists.length && lists.every((list, place) => list === before.lists[place])) return before.related;
  const related = lists.flatMap((records) => history(records, method, layer));
  known.set(key, { lists, related });
  return related;
}
