/** How the features of a layer come about: film strips, rows are units, columns epochs. Zeiler & Fergus 2014, Fig. 4. */

import { Lines } from "../../components/epoch_chart.js";
import { Film, filmItems } from "../../components/film_strip.js";
import { filmOf, GUTTER, layFilm, pictorial } from "../../components/film_strip_layout.js";
import { ascending } from "../../model/epochs.js";
import { word } from "../../model/fields.js";
import { tableIn, tileSize, unitsIn } from "../../model/patch_tables.js";
import { drawnRecords, history, latestUntil, layersOf } from "../../model/records.js";
import { assign } from "../../model/state.js";
import { html } from "../../vendor/htm-preact-3.1.1.js";
import { curveOfUnit, filmOfUnit } from "./unit_sections.js";

/** @typedef {"projection" | "patch" | "both"} FilmContent */
/** @typedef {{filmContent: FilmContent}} Own  What a strip shows of a unit. */
/** @typedef {State & Own} OwnState */
/** @typedef {import("../../components/film_strip_layout.js").Lane} Lane */

/** Of a column before runs are put below each other. */
const CELL = 28;
/** Columns; with more, runs are put below each other only where so many don't fit. */
const MANY = 20;
const CURVE = { width: 400, height: 84 };

/** @type {Record<"overlap" | "settled", (record: Rec | undefined) => string>} */
const CURVES = {
  overlap: (record) => `overlap of the top ${tableIn(record, "image_ids")?.shape[1] ?? "k"} with the drawing before`,
  settled: () => "share of units settled: the same image won",
};

/** @type {FilmContent[]} */
const WORDS = ["projection", "patch", "both"];

/** @type {Record<FilmContent, Lane[]>} */
const LANES = { projection: ["projection"], patch: ["patch"], both: ["patch", "projection"] };

/** @type {(method: string, state: OwnState) => Lane[]} */
const lanesOf = (method, state) => (method === "filters" ? ["weights"] : LANES[state.filmContent]);

/** @param {Rec[][]} lists @returns {Row[]} */
function rows(lists) {
  const drawn = (/** @type {string} */ method, /** @type {string} */ layer) => lists.flatMap((records) => drawnRecords(records, method, layer));
  const films = layersOf(lists, "evolution").filter((layer) => drawn("evolution", layer).some(tileSize));
  const weights = layersOf(lists, "filters").filter((layer) => drawn("filters", layer).some(pictorial));
  const found = [
    ...films.map((layer) => ({ method: "evolution", layer, title: `${layer}, strongest activation` })),
    ...weights.map((layer) => ({ method: "filters", layer, title: `${layer}, weights` })),
  ];
  const failed = !films.length && lists.some((records) => history(records, "evolution", "").length > 0);
  return failed ? [...found, { method: "evolution", layer: "" }] : found;
}

/** Any record will do: a strip shows all epochs. @type {NonNullable<View["find"]>} */
function find(records, method, layer, epoch) {
  const found = latestUntil(records, method, layer, epoch);
  return found.record ? found : { ...found, record: drawnRecords(records, method, layer)[0] ?? null };
}

/** The units that have pictures in the strip of the same layer. @type {(lists: Rec[][], layer: string) => number[]} */
const unitsBeside = (lists, layer) => lists.flatMap((records) => drawnRecords(records, "evolution", layer).flatMap(unitsIn));

/** @param {CellProps<Own>} props */
function Cell({ record, error, records, lists, related, room, state, dispatch, go, blobs, epoch }) {
  const weights = record.method === "filters";
  const film = filmOf(drawnRecords(records, record.method, record.layer), related, lanesOf(record.method, state));
  const chosen = weights ? unitsBeside(lists, record.layer) : [];
  if (chosen.length) film.units = film.units.filter((unit) => chosen.includes(unit));
  if (!film.frames.size) return html`<p class="dim">These drawings have no film strip.</p>`;
  const layout = layFilm(film, room.width, epoch, state.zoom);
  const skipped = film.epochs.length - layout.epochs.length;
  const note = [
    weights ? `the filters themselves${chosen.length ? ", those of the units above; all are in Filters" : ""}` : `the strongest of ${record.meta.images ?? "all"} images`,
    ...(weights ? [] : ["cut corner: another image won than before"]),
    ...(skipped ? [`${layout.epochs.length} of ${film.epochs.length} epochs fit`] : []),
  ].join("; ");
  return html`<div>
    ${error && html`<p class="failed"><b>The last drawing failed.</b> ${error}</p>`}
    <${Film} ...${{ film, layout, epoch, dispatch, go, blobs, note }} layer=${record.layer} chosen=${state.unit} />
  </div>`;
}

/** The curves of a row. @param {StageProps & {row: Row, width: number}} props */
function Above({ row: { method, layer }, runs, lists, state, go, epoch, width }) {
  if (method !== "evolution") return null;
  const drawn = lists.map((records) => drawnRecords(records, method, layer));
  const epochs = ascending(drawn.flat().map((record) => record.epoch));
  const room = Math.min(CURVE.width, Math.max(180, Math.floor((width - 24) / 2)));
  const curves = /** @type {("overlap" | "settled")[]} */ (["overlap", "settled"]).map((name) => {
    const lines = runs.map(({ run }, place) => ({
      run, place: state.order.indexOf(run),
      points: drawn[place].filter((record) => Number.isFinite(Number(record.scalars[name] ?? NaN))).map((record) => ({ epoch: record.epoch, value: Number(record.scalars[name]) })),
    }));
    return { name, lines: lines.filter((line) => line.points.length) };
  });
  if (curves.every(({ lines }) => !lines.length)) return null;
  return html`<div class="epoch-charts">
    ${curves.map(({ name, lines }) => html`<div key=${name} data-curve=${name}><${Lines} title=${CURVES[name](drawn.flat()[0])} low=${0} high=${1} ...${{ lines, epochs, epoch, go, ...CURVE }} width=${room} /></div>`)}
  </div>`;
}

/** A strip of weights has a column for each epoch; it leaves some out where others have room. @param {Rec[][]} lists */
function narrowest(lists) {
  const all = rows(lists);
  const films = all.filter(({ method }) => method === "evolution");
  const columns = (films.length ? films : all).map(({ method, layer }) => ascending(lists.flatMap((records) => drawnRecords(records, method, layer).map(({ epoch }) => epoch))).length);
  return GUTTER + CELL * Math.min(MANY, Math.max(1, ...columns));
}

/** What a strip shows. @param {StageProps<Own>} props */
function Top({ state, dispatch, lists }) {
  if (!layersOf(lists, "evolution").length) return null;
  return html`<div class="button-group film-choice" role="group" aria-label="Strip">
    ${WORDS.map((one) => html`<button key=${one} aria-pressed=${state.filmContent === one} onClick=${() => dispatch(assign, { filmContent: one })}>${one}</button>`)}
    <span class="dim">of the strongest activation, per unit (rows) and epoch (columns)</span>
  </div>`;
}

/** @type {(lists: Rec[][], state: OwnState) => Ref[]} */
const refs = (lists, state) =>
  rows(lists).flatMap(({ method, layer }) =>
    lists.flatMap((records) => drawnRecords(records, method, layer).filter((record) => (method === "filters" ? pictorial(record) : tileSize(record))).flatMap((record) => filmItems(record, lanesOf(method, state)))),
  );

/** @type {View<Own>} */
export const view = {
  name: "evolution",
  methods: ["evolution", "filters"],
  title: "Evolution",
  order: 50,
  rows, find, Cell, Above, Top, refs,
  narrowest,
  state: { filmContent: word("strip", WORDS) },
  help: "rows are units, columns epochs; a cut corner says that another image won than at the drawing before.",
  unitSections: [filmOfUnit, curveOfUnit],
};
