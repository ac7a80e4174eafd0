/** The page of a unit: all that the shown runs know of it, a column per run, a row per section. It lies over the views. */

import { RunHead } from "../../components/run_head.js";
import { useStageSize } from "../../components/use_stage_size.js";
import { rowOf } from "../../model/records.js";
import { assign, openUnit } from "../../model/state.js";
import { layersWithUnits, neighbour, unitsOf } from "../../model/units.js";
import { html, useLayoutEffect, useRef } from "../../vendor/htm-preact-3.1.1.js";

const PADDING = 12;
const NARROWEST = 260;

/** @param {UnitSection[]} sections  what views tell of a unit @returns {View} */
export function unitPageOf(sections) {
  const unitSections = [...sections].sort((a, b) => a.order - b.order);
  return {
    name: "unit",
    methods: [...new Set(unitSections.flatMap((section) => section.methods))],
    title: "Unit",
    help: "all that is known of one. Click its number, or double-click a filter or a map.",
    css: new URL("./unit.css", import.meta.url),
      Stage: UnitStage,
    unitSections,
    refs: (lists, { unit }, epoch) => (unit ? unitSections.flatMap((section) => lists.flatMap((records) => section.refs(records, inRows(lists, section, unit), epoch))) : []),
  };
}

/** The unit, with its layer called as its row is where a section shows it. @type {(lists: Rec[][], section: UnitSection, unit: Unit) => Unit} */
const inRows = (lists, section, unit) => ({ ...unit, layer: rowOf(lists, section.methods, unit.layer) });

/** @param {StageProps} props */
function UnitStage(props) {
  const { state, view, runs, lists, dispatch, below } = props;
  const { methods, unitSections = [] } = view;
  const [stage, size] = useStageSize();
  const unit = /** @type {Unit} */ (state.unit);
  const gap = runs.length > 3 ? 12 : 24;
  const inner = size.width - 2 * PADDING;
  const width = Math.max(NARROWEST, Math.floor((inner - gap * (runs.length - 1)) / runs.length));
  const sections = unitSections.filter((section) => lists.some((records) => section.has(records, inRows(lists, section, unit).layer)));
  const count = unitsOf(lists, methods, unit.layer);
  const loaded = runs.every(({ run }) => run in state.records);
  useLayoutEffect(() => void stage.current.scrollTo?.(0, 0), []);

  return html`<div class="stage unit-page" ref=${stage}>
    <div class="comparison" style=${`--column:${width}px;--columns:${runs.length};--gap:${gap}px;--padding:${PADDING}px`}>
      <div class="stage-top">
        <${Head} ...${{ dispatch, lists, methods, unit, count, below }} />
        <div class="run-heads">${runs.map((run) => html`<${RunHead} key=${run.run} state=${state} run=${run} />`)}</div>
      </div>
      ${loaded && !sections.length && html`<p class="notice">The shown runs have nothing of ${unit.layer}. Choose another layer above.</p>`}
      ${loaded && sections.length > 0 && unit.unit >= count && html`<p class="notice">${unit.layer} has units 0 to ${count - 1}.</p>`}
      ${size.width > 0 && unit.unit < count && sections.map((section) => {
        const own = inRows(lists, section, unit);
        const common = { ...props, unit: own, room: { width, height: size.height } };
        return html`<section class="comparison-row" key=${section.key} data-section=${section.key} aria-label=${section.title(lists, own)}>
          <h3>${section.title(lists, own)}</h3>
          ${section.Joint
            ? html`<${section.Joint} ...${common} width=${inner} />`
            : html`<div class="comparison-cells">
                ${runs.map((run, place) => html`<div class="comparison-cell" key=${run.run} data-run=${run.run}>
                  ${section.has(lists[place], own.layer)
                    ? html`<${section.Cell} ...${common} run=${run} records=${lists[place]} />`
                    : html`<p class="dim">${run.run in state.records ? "Not in this run." : "…"}</p>`}
                </div>`)}
              </div>`}
        </section>`;
      })}
    </div>
  </div>`;
}

/** Which unit it is, and the ways to others. @param {any} props */
function Head({ dispatch, lists, methods, unit, count, below }) {
  const field = useRef(/** @type {any} */ (null));
  const layers = layersWithUnits(lists, methods);
  /** @param {number} by */
  const step = (by) => dispatch(openUnit, unit.layer, neighbour(lists, methods, unit, by));
  /** @param {any} event */
  function jump(event) {
    event.preventDefault();
    const asked = field.current.value.trim();
    if (/^\d{1,6}$/.test(asked) && Number(asked) < count) dispatch(openUnit, unit.layer, Number(asked));
    field.current.value = String(asked && Number(asked) < count ? asked : unit.unit);
    field.current.blur();
  }
  return html`<div class="unit-head">
    <button class="link" title="Back (Escape)" onClick=${() => dispatch(assign, { page: null })}>← ${below}</button>
    <h2>${unit.layer} unit ${unit.unit}</h2>
    <form class="button-group" onSubmit=${jump}>
      <select aria-label="Layer" value=${unit.layer} onChange=${(/** @type {any} */ event) => dispatch(openUnit, event.target.value, Math.min(unit.unit, Math.max(0, unitsOf(lists, methods, event.target.value) - 1)))}>
        ${(layers.includes(unit.layer) ? layers : [unit.layer, ...layers]).map((one) => html`<option key=${one} value=${one} selected=${one === unit.layer}>${one}</option>`)}
      </select>
      <button type="button" aria-label="Previous unit" title="Previous unit (,)" disabled=${unit.unit <= 0} onClick=${() => step(-1)}>‹</button>
      <input ref=${field} key=${`${unit.layer} ${unit.unit}`} name="unit" inputmode="numeric" autocomplete="off" aria-label="Unit" value=${String(unit.unit)} onFocus=${(/** @type {any} */ event) => event.target.select()} />
      <button type="button" aria-label="Next unit" title="Next unit (.)" disabled=${unit.unit >= count - 1} onClick=${() => step(1)}>›</button>
      <span class="dim">of ${count}</span>
    </form>
  </div>`;
}
