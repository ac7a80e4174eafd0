/** How a unit came about, on its page: a film strip, and the curve of its strongest activation. */

import { Lines } from "../../components/epoch_chart.js";
import { Film, filmItems } from "../../components/film_strip.js";
import { filmOf, layFilm, pictorial, winnerChanged } from "../../components/film_strip_layout.js";
import { ascending } from "../../model/epochs.js";
import { present } from "../../model/items.js";
import { entriesOf, tableIn, tableOf, tileSize } from "../../model/patch_tables.js";
import { drawnRecords } from "../../model/records.js";
import { html } from "../../vendor/htm-preact-3.1.1.js";

const FRAME = 76;
const CURVE = { width: 620, height: 132 };

/** @param {UnitProps} props */
function Strip({ records, lists, unit, epoch, room, state, dispatch, go, blobs }) {
  const parts = FILMS.map(({ method, lanes }) => {
    const drawn = drawnRecords(records, method, unit.layer);
    const whole = filmOf(drawn, lists.flatMap((list) => drawnRecords(list, method, unit.layer)), lanes);
    return { ...whole, units: whole.units.filter((one) => one === unit.unit) };
  }).filter((film) => film.frames.size && film.units.length);
  if (!parts.length) return html`<p class="dim">No pictures of this unit. <code>FeatureEvolution(units=[${unit.unit}])</code></p>`;
  return html`<div>${parts.map((film) => html`<${Film} key=${film.lanes.join()} ...${{ film, epoch, dispatch, go, blobs }} layout=${layFilm(film, room.width, epoch, state.zoom, FRAME, 0)}
    layer=${unit.layer} chosen=${null} note=${film.lanes[0] === "weights" ? "its weights" : "its strongest patch, and what in it excites the unit; cut corner: another image won than before"} />`)}</div>`;
}

/** @type {{method: string, lanes: import("../../components/film_strip_layout.js").Lane[]}[]} */
const FILMS = [{ method: "filters", lanes: ["weights"] }, { method: "evolution", lanes: ["patch", "projection"] }];

/** @type {(records: Rec[], layer: string) => Rec[]} Strongest patches: whichever method drew them more often. */
function tabled(records, layer) {
  const [evolution, patches] = ["evolution", "patches"].map((method) => drawnRecords(records, method, layer).filter((one) => tableIn(one, "image_ids")));
  return evolution.length >= patches.length ? evolution : patches;
}

/** The strongest activation over the data. @param {UnitProps & {width: number}} props */
function Strongest({ runs, lists, state, unit, epoch, go, blobs, width }) {
  const drawn = lists.map((records) => tabled(records, unit.layer));
  const epochs = ascending(drawn.flat().map((record) => record.epoch));
  const lines = runs.map(({ run }, place) => ({
    run, place: state.order.indexOf(run),
    points: drawn[place].flatMap((record, at) => {
      const [value] = entriesOf(tableOf(blobs, record, "values"), unit.unit, 0);
      return value !== undefined && Number.isFinite(value) ? [{ epoch: record.epoch, value, changed: winnerChanged(blobs, drawn[place], at, unit.unit) }] : [];
    }),
  }));
  const values = lines.flatMap((line) => line.points.map((point) => point.value));
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values) || 1];
  return html`<${Lines} title="Large mark: another image won than at the drawing before" ...${{ lines, epochs, epoch, go, low, high }} width=${Math.min(CURVE.width, width)} height=${CURVE.height} />`;
}

/** @type {UnitSection} */
export const filmOfUnit = {
  key: "film",
  order: 30,
  methods: ["evolution", "filters"],
  title: () => "Over the epochs",
  has: (records, layer) => drawnRecords(records, "evolution", layer).some(tileSize) || drawnRecords(records, "filters", layer).some(pictorial),
  refs: (records, { layer }) => FILMS.flatMap(({ method, lanes }) =>
    drawnRecords(records, method, layer).filter((record) => (method === "filters" ? pictorial(record) : tileSize(record))).flatMap((record) => filmItems(record, lanes))),
  Cell: Strip,
};

/** @type {UnitSection} */
export const curveOfUnit = {
  key: "curve",
  order: 40,
  methods: ["evolution", "patches"],
  title: () => "Strongest activation over the data",
  has: (records, layer) => tabled(records, layer).length > 0,
  refs: (records, { layer }) => tabled(records, layer).flatMap((record) => present(tableIn(record, "values"), tableIn(record, "image_ids"))),
  Joint: Strongest,
};
