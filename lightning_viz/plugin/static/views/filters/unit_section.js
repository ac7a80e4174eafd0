/** The filter of a unit, on its page. */

import { Picture } from "../../components/picture.js";
import { present, weightsOf } from "../../model/items.js";
import { drawnRecords, latestUntil } from "../../model/records.js";
import { drawFilters } from "../../render/filter_grid.js";
import { partOf } from "../../render/maps.js";
import { finiteRange } from "../../render/palettes.js";
import { epochText, range as span } from "../../render/text.js";
import { html, useMemo } from "../../vendor/htm-preact-3.1.1.js";

const FILTER = 120;
const CHANNELS = { width: 420, height: 130 };

/** The weights of the unit: one picture, or one per input channel. @param {UnitProps} props */
function FilterOfUnit({ records, unit, epoch, room, state, blobs }) {
  const { record } = latestUntil(records, "filters", unit.layer, epoch);
  const item = weightsOf(record);
  const values = /** @type {Values | null} */ (item ? blobs.get(item.url) : null);
  const [, channels = 1, height = 1, width = 1] = item?.shape ?? [];
  const colour = channels === 1 || channels === 3;
  const own = useMemo(() => {
    if (!values || unit.unit >= values.shape[0]) return null;
    const data = partOf(values, unit.unit);
    const range = finiteRange(data);
    return { range, image: drawFilters({ shape: colour ? [1, channels, height, width] : [channels, 1, height, width], data }, range) };
  }, [values, unit.unit]);
  if (!record || !item) return html`<p class="dim">None at epoch ${epochText(epoch)}.</p>`;
  if (blobs.failure(item.url)) return html`<p class="failed">${blobs.failure(item.url)}</p>`;
  const size = own?.image ?? { width, height };
  const most = colour ? { width: FILTER, height: FILTER } : { width: Math.min(room.width, CHANNELS.width), height: CHANNELS.height };
  return html`<figure class="own-filter">
    <${Picture} image=${own?.image ?? null} size=${{ width: size.width, height: size.height }} room=${{ width: Math.min(room.width, most.width * state.zoom), height: most.height * state.zoom }} zoom=${1}
      label=${`Filter ${unit.unit} of ${unit.layer}`} />
    <figcaption class="dim">${own && span(own.range.low, own.range.high)}<br />${channels}×${height}×${width}${colour ? "" : ", a tile per input channel"}${record.epoch === epoch ? "" : `, from epoch ${epochText(record.epoch)}`}</figcaption>
  </figure>`;
}

/** @type {UnitSection} */
export const filterOfUnit = {
  key: "filter",
  order: 10,
  methods: ["filters"],
  title: () => "Filter",
  has: (records, layer) => drawnRecords(records, "filters", layer).some(weightsOf),
  refs: (records, { layer }, epoch) => present(weightsOf(latestUntil(records, "filters", layer, epoch).record)),
  Cell: FilterOfUnit,
};
