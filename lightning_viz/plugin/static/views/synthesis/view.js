/** Images made by gradient ascent: what a class or a unit would like to see most, and dreams of a photograph. */

import { Comparison } from "../../components/comparison.js";
import { picturesNeeded } from "../../components/pictures_cell.js";
import { unit, word } from "../../model/fields.js";
import { drawnRecords, history, latestUntil, layersOf } from "../../model/records.js";
import { assign } from "../../model/state.js";
import { allTargets, isOfUnits } from "../../model/targets.js";
import { html, useLayoutEffect, useRef } from "../../vendor/htm-preact-3.1.1.js";
import { laidDreams } from "./dream_layout.js";
import { DreamStage } from "./dreams.js";
import { History, historyNeeds } from "./history.js";
import { TargetsCell } from "./targets_cell.js";
import { imageOfUnit } from "./unit_section.js";

/** @typedef {"models" | "dreams"} Content */
/** @typedef {{synthesis: Content, target: Unit | null}} Own  What is shown; a class, to be seen over the epochs. */
/** @typedef {State & Own} OwnState */

/** @type {Content[]} */
const WORDS = ["models", "dreams"];
const TITLES = { models: "classes and units", dreams: "dreams" };

/** Classes and other outputs before units. @param {Rec[][]} lists @returns {Row[]} */
function rows(lists) {
  const layers = layersOf(lists, "class_model");
  const ofOutputs = layers.filter((layer) => lists.some((records) => drawnRecords(records, "class_model", layer).some((record) => !isOfUnits(record))));
  const failed = !layers.length && lists.some((records) => history(records, "class_model", "").length > 0);
  return (failed ? [""] : [...new Set([...ofOutputs, ...layers])]).map((layer) => ({ method: "class_model", layer }));
}

/** @type {(lists: Rec[][], state: OwnState) => Content} */
function contentOf(lists, state) {
  const there = { models: rows(lists).length > 0, dreams: lists.flat().some((record) => record.method === "deep_dream") };
  return there[state.synthesis] ? state.synthesis : there.models ? "models" : "dreams";
}

/** What is shown, where there is a choice. @param {StageProps<Own>} props */
function Top({ state, dispatch, lists }) {
  if (!rows(lists).length || !laidDreams(lists).length) return null;
  const content = contentOf(lists, state);
  return html`<div class="button-group synthesis-choice" role="group" aria-label="Images">
    ${WORDS.map((one) => html`<button key=${one} aria-pressed=${content === one} onClick=${() => dispatch(assign, { synthesis: one })}>${TITLES[one]}</button>`)}
  </div>`;
}

/** The chosen class over the epochs. @param {StageProps<Own> & {row: Row, width: number, column: number}} props */
function Above({ row: { method, layer }, runs, lists, state, dispatch, epoch, go, blobs, column }) {
  const panel = useRef(/** @type {any} */ (null));
  const chosen = state.target?.layer === layer ? state.target.unit : null;
  // It may have been chosen far below.
  useLayoutEffect(() => void panel.current?.scrollIntoView({ block: "nearest" }), [chosen]);
  const related = lists.flatMap((records) => drawnRecords(records, method, layer));
  const target = chosen === null ? undefined : allTargets(related).find(({ unit: one }) => one === chosen);
  if (!target) return null;
  return html`<section class="synthesis-panel" ref=${panel} aria-label=${`${target.name} over the epochs`}>
    <h4>${target.name}<button class="link" title="Close (Escape)" onClick=${() => dispatch(assign, { target: null })}>close</button></h4>
    <div class="comparison-cells">${runs.map(({ run }, place) => {
      const drawn = drawnRecords(lists[place], method, layer);
      return html`<div class="comparison-cell" key=${run} data-run=${run}>
        ${drawn.length ? html`<${History} unit=${target.unit} width=${column} zoom=${state.zoom} ...${{ drawn, related, epoch, go, blobs }} />` : html`<p class="dim">Not in this run.</p>`}
      </div>`;
    })}</div>
  </section>`;
}

/** @param {StageProps<Own>} props */
function Stage(props) {
  if (contentOf(props.lists, props.state) === "models") return html`<${Comparison} ...${props} view=${models} />`;
  return html`<${DreamStage} ...${props} head=${html`<${Top} ...${props} />`} />`;
}

/** @type {(lists: Rec[][], state: OwnState, epoch: number) => Ref[]} */
function refs(lists, state, epoch) {
  const dreams = contentOf(lists, state) === "dreams";
  const shown = dreams ? laidDreams(lists).flatMap(({ layers }) => layers.map((layer) => ({ method: "deep_dream", layer }))) : rows(lists);
  return shown.flatMap(({ method, layer }) => {
    const related = lists.flatMap((records) => drawnRecords(records, method, layer));
    return lists.flatMap((records) => {
      const { record } = latestUntil(records, method, layer, epoch);
      const over = !dreams && state.target?.layer === layer ? historyNeeds(drawnRecords(records, method, layer), related, epoch) : [];
      return [...(record ? picturesNeeded(record) : []), ...over];
    });
  });
}

/** @type {View<Own>} */
export const view = {
  name: "synthesis",
  methods: ["class_model", "deep_dream"],
  title: "Synthesis",
  order: 45,
  css: new URL("./synthesis.css", import.meta.url),
  state: { synthesis: word("synthesis", WORDS), target: { ...unit("target"), escape: true } },
  help: `images found by gradient ascent that excite a class or a unit most, and photographs with what a layer saw amplified.
    Click a class to see it over the epochs, a unit to open its page.`,
  Stage, refs,
  unitSections: [imageOfUnit],
};

/** The comparison of classes and units. @type {View<Own>} */
const models = { ...view, methods: ["class_model"], Stage: undefined, refs: undefined, rows, find: latestUntil, Cell: TargetsCell, Above, Top };
