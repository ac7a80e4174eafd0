/** The images of the probe, to choose one from. */

import { Still } from "../../components/canvas.js";
import { usePhotograph } from "../../io/probe_images.js";
import { assign } from "../../model/state.js";
import { html } from "../../vendor/htm-preact-3.1.1.js";

const HEIGHT = 36;

/**
 * @param {{count: number, size: number[], photographed: Rec | null, names: string[], chosen: number, dispatch: Dispatch<import("./view.js").Own>}} props
 *   size: height and width of an image; names: what they are, where that is known
 */
export function Thumbnails({ count, size: [height, width], photographed, names, chosen, dispatch }) {
  const style = `width:${Math.max(24, Math.min(120, Math.round((HEIGHT * width) / height)))}px;height:${HEIGHT}px`;
  return html`<div class="image-picker">
    <div class="image-picker-strip" role="group" aria-label="Image">
      ${Array.from({ length: count }, (_, place) => {
        const label = `image ${place}${names[place] ? `, ${names[place]}` : ""}`;
        return html`<button key=${place} aria-pressed=${place === chosen} aria-label=${label} title=${label} style=${style}
          onClick=${() => dispatch(assign, { image: place })}><${Thumbnail} photographed=${photographed} image=${place} /></button>`;
      })}
    </div>
    <p class="nowrap">${names[chosen]} <span class="dim">image ${chosen}</span></p>
  </div>`;
}

/** @param {{photographed: Rec | null, image: number}} props */
function Thumbnail({ photographed, image }) {
  const photograph = usePhotograph(photographed, image);
  return photograph === null ? html`<span>${image}</span>` : html`<${Still} bitmap=${photograph?.bitmap} />`;
}
