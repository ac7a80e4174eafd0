/** The kernels of a convolution, drawn here from the weights themselves, so that runs and epochs can share a scale. */

import { OpenUnit } from "../../components/open_unit_button.js";
import { Picture } from "../../components/picture.js";
import { PicturesCell, picturesNeeded } from "../../components/pictures_cell.js";
import { pictureOf, rangeIn, weightsOf } from "../../model/items.js";
import { assign, openUnit } from "../../model/state.js";
import { boxOf, clearGaps, clearWhiteLines, drawFilters, layoutOf, locate } from "../../render/filter_grid.js";
import { partOf } from "../../render/maps.js";
import { finiteRange } from "../../render/palettes.js";
import { number, plenty, range } from "../../render/text.js";
import { html, useMemo, useState } from "../../vendor/htm-preact-3.1.1.js";
import { filterOfUnit } from "./unit_section.js";

/** @typedef {{hovered: string | null}} Own  The layer under the pointer. */
/** @typedef {State & Own} OwnState */
/** @typedef {CellProps<Own>} OwnProps */

/** Above so many weights (1 MiB) the ready picture is shown, and weights are fetched only where they are needed. */
const LARGE = 2 ** 18;

/** @param {Rec} record @param {OwnState} state */
function needs(record, state) {
  const [weights, picture] = [weightsOf(record), pictureOf(record)];
  if (!weights) return picturesNeeded(record);
  if (!picture || !showsPicture(record, weights, state)) return [weights];
  return state.hovered === record.layer || state.unit?.layer === record.layer ? [picture, weights] : [picture];
}

/** @type {(record: Rec, weights: Item, state: OwnState) => boolean} */
function showsPicture(record, weights, state) {
  const size = weights.shape.reduce((product, length) => product * length, 1);
  return size > LARGE && state.scale !== "shared" && record.meta.scale === "filter" && pictureOf(record) !== undefined;
}

/** @param {OwnProps} props */
function Cell(props) {
  const weights = weightsOf(props.record);
  return weights ? html`<${Filters} ...${props} weights=${weights} />` : html`<${PicturesCell} ...${props} finish=${clearWhiteLines} />`;
}

/** @param {OwnProps & {weights: Item}} props */
function Filters({ record, related, room, state, dispatch, blobs, weights }) {
  const [point, setPoint] = useState(/** @type {{x: number, y: number} | null} */ (null));
  const layout = layoutOf(weights.shape);
  const values = /** @type {Values | null} */ (blobs.get(weights.url));
  const ready = showsPicture(record, weights, state) ? pictureOf(record) : undefined;

  const scale = useMemo(() => {
    if (state.scale !== "shared") return null;
    return rangeIn(related) ?? (values && finiteRange(values.data));
  }, [state.scale, related, values]);
  const drawn = useMemo(() => (values && !ready ? drawFilters(values, scale) : null), [values, ready, scale?.low, scale?.high]);
  const image = ready ? /** @type {ImageBitmap | null} */ (blobs.get(ready.url)) : drawn;

  const pointed = point && locate(layout, point.x, point.y);
  const chosen = state.unit?.layer === record.layer && state.unit.unit < layout.units ? state.unit : null;
  const unit = pointed?.unit ?? chosen?.unit ?? null;
  const shape = `${plenty(weights.shape[0], "filter")} of ${weights.shape.slice(1).join("\u00d7")}`;
  const failure = blobs.failure((ready ?? weights).url);
  if (failure) return html`<p class="failed">${failure}</p>`;

  return html`<figure>
    <${Picture}
      image=${image} size=${layout} room=${room} zoom=${state.zoom}
      label=${`${shape}, layer ${record.layer}`}
      finish=${ready && ((/** @type {CanvasRenderingContext2D} */ context) => clearGaps(context, layout))}
      box=${unit === null ? null : boxOf(layout, unit)}
      onPoint=${(/** @type {{x: number, y: number} | null} */ at) => {
        setPoint(at);
        if (ready && (at ? record.layer : null) !== state.hovered) dispatch(assign, { hovered: at ? record.layer : null });
      }}
      onPick=${(/** @type {{x: number, y: number}} */ at) => {
        const hit = locate(layout, at.x, at.y);
        dispatch(assign, { unit: hit && hit.unit !== chosen?.unit ? { layer: record.layer, unit: hit.unit } : null });
      }}
      onOpen=${(/** @type {{x: number, y: number}} */ at) => {
        const hit = locate(layout, at.x, at.y);
        if (hit) dispatch(openUnit, record.layer, hit.unit);
      }}
    />
    <figcaption>
      <p><span class="caption-subject">${shape}${stride(record)}${partly(layout, weights)}</span><span class="dim nowrap">${range(record.meta.vmin, record.meta.vmax)}</span></p>
      <p class=${room.width < 380 ? "readout narrow" : "readout"}>${unit === null ? html`<span class="dim">${scaleText(scale)}</span>` : readout(values, unit, pointed)}${chosen && html` <${OpenUnit} dispatch=${dispatch} unit=${chosen} />`}</p>
    </figcaption>
  </figure>`;
}

/** @param {Rec} record */
function stride({ meta: { stride } }) {
  if (!Array.isArray(stride)) return "";
  return `, stride\u00a0${stride[0] === stride[1] ? stride[0] : stride.join("\u00d7")}`;
}

/** @type {(layout: import("../../render/filter_grid.js").Layout, weights: Item) => string} */
function partly(layout, { shape: [units, channels] }) {
  if (layout.whole) return "";
  const rows = layout.units < units ? `filters 0\u2013${layout.units - 1}` : "filters";
  const columns = layout.columns < channels ? `input channels 0\u2013${layout.columns - 1}` : "input channels";
  return ` (rows: ${rows}, columns: ${columns})`;
}

/** @param {import("../../render/palettes.js").Range | null} scale */
const scaleText = (scale) => (scale ? `black to white: ${range(scale.low, scale.high)}` : "black to white: each filter\u2019s own range");

/** @type {(values: Values | null, unit: number, pointed: ReturnType<typeof locate>) => string} */
function readout(values, unit, pointed) {
  if (!values) return `filter ${unit}`;
  const own = partOf(values, unit);
  const { low, high } = finiteRange(own);
  const text = `filter ${unit}: ${range(low, high)}`;
  if (!pointed) return text;
  const [, channels, height, width] = values.shape;
  const place = pointed.y * width + pointed.x;
  const seen = pointed.channel === null ? [...Array(channels).keys()] : [pointed.channel];
  const here = seen.map((channel) => number(own[channel * height * width + place])).join(", ");
  return `${text}, here${pointed.channel === null ? "" : ` in channel ${pointed.channel}`} ${here}`;
}

/** @type {View<Own>} */
export const view = {
  name: "filters", methods: ["filters"], title: "Filters", order: 10, Cell, needs,
  scales: {
    usual: "own",
    own: ["per filter", "Each filter from its own minimum (black) to its own maximum (white)"],
    shared: ["shared by runs and epochs", "One scale per layer, over the shown runs and all their epochs"],
  },
  state: { hovered: { initial: null } },
  help: `drawn from the weights themselves, one square per weight. Point at a filter to read its values; click it to keep it
    marked while the epoch moves. Scale “per filter” shows shapes: each filter goes from its own minimum (black) to its own
    maximum (white). Scale “shared by runs and epochs” shows strengths: one scale per layer, that of the shown runs over
    all their epochs.`,
  unitSections: [filterOfUnit],
};
