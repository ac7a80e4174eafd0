/** The pictures of a record as they were drawn, with their captions and numbers. */

import { picturesOf } from "../model/items.js";
import { number } from "../render/text.js";
import { html } from "../vendor/htm-preact-3.1.1.js";
import { Picture } from "./picture.js";

/** @param {Rec} record */
export const picturesNeeded = (record) => picturesOf(record);

/** @param {CellProps & {finish?: (context: CanvasRenderingContext2D) => void}} props */
export function PicturesCell({ record, room, state, blobs, finish }) {
  const pictures = picturesOf(record);
  const scalars = Object.entries(record.scalars);
  return html`<div class="pictures-cell">
    ${pictures.map((item, place) => {
      const image = /** @type {ImageBitmap | null} */ (blobs.get(item.url));
      const failure = blobs.failure(item.url);
      const [height, width] = item.shape.length === 3 ? item.shape : [image?.height ?? 64, image?.width ?? 64];
      return html`<figure key=${place}>
        ${failure
          ? html`<p class="failed">${failure}</p>`
          : html`<${Picture}
              image=${image} size=${{ width, height }} zoom=${state.zoom} finish=${finish}
              room=${{ width: room.width, height: pictures.length > 1 ? room.height / 2 : room.height }}
              label=${item.caption || `${record.method}, layer ${record.layer}, ${item.name}`}
            />`}
        ${item.caption && html`<figcaption>${item.caption}</figcaption>`}
      </figure>`;
    })}
    ${scalars.length > 0 &&
    html`<dl>${scalars.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${number(value)}</dd></div>`)}</dl>`}
    ${!pictures.length && !scalars.length && html`<p class="dim">This record has no picture.</p>`}
  </div>`;
}
