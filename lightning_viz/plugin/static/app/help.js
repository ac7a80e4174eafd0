/** The help: keys, and how to read the pictures. */

import { html, useLayoutEffect, useRef } from "../vendor/htm-preact-3.1.1.js";
import { KEYS } from "./keyboard.js";

/** @param {{onClose: () => void}} props */
export function Help({ onClose }) {
  const dialog = useRef(/** @type {any} */ (null));
  useLayoutEffect(() => dialog.current.showModal(), []);
  return html`<dialog ref=${dialog} class="help" aria-labelledby="help" onClose=${onClose}
    onClick=${(/** @type {any} */ event) => event.target === dialog.current && dialog.current.close()}>
    <div>
      <h2 id="help">Help</h2>
      <dl>${KEYS.filter((key) => key.keys).map((key) => html`<div key=${key.keys}><dt><kbd>${key.keys}</kbd></dt><dd>${key.does}</dd></div>`)}</dl>
      <p>Columns are runs, rows are layers. Pictures are drawn from the weights themselves, one square per weight.
        Point at a filter to read its values; click it to keep it marked while the epoch moves. Click the curve to go there.</p>
      <p>Scale “per filter” shows shapes: each filter goes from its own minimum (black) to its own maximum (white). Scale
        “shared by runs and epochs” shows strengths: one scale per layer, that of the shown runs over all their epochs.</p>
      <p>Images: a line per run, a column per map. A tick on a column’s scale is how far a run reaches at this epoch. Small
        reconstructions are enlarged; frames in the photograph show where they lie. Activations: the maps of a layer’s
        units for the image that is chosen at the top, the most active first.</p>
      <p>Patches: what excites each unit most, beside what in it does so; light grey is beyond the image. Evolution: rows
        are units, columns epochs; a cut corner says that another image won than at the drawing before. Click a unit’s
        number, or double-click a filter or a map, for all that is known of it.</p>
      <p>Embedding: each point is an image of the data; near each other is what the network takes for alike. All epochs and
        runs are on one scale; runs are turned and mirrored upon the first. Distances are those of the features, before they
        were laid into the plane. Hold Ctrl and turn the wheel to enlarge; the wheel alone then moves the map.</p>
      <p class="help-colours"><i style="background:#ff00ff"></i> not a number <i style="background:#ffe600"></i> +∞ <i style="background:#00e6ff"></i> −∞</p>
      <button class="link" onClick=${() => dialog.current.close()}>Close</button>
    </div>
  </dialog>`;
}
