/** The help: keys, and how to read the pictures. */

import { html, useLayoutEffect, useRef } from "../vendor/htm-preact-3.1.1.js";
import { KEYS } from "./keyboard.js";
import { unitPage, VIEWS } from "./views.js";

/** @param {{onClose: () => void}} props */
export function Help({ onClose }) {
  const dialog = useRef(/** @type {any} */ (null));
  useLayoutEffect(() => {
    dialog.current.showModal();
    dialog.current.scrollTo(0, 0); // the focus goes to the button at its end
  }, []);
  return html`<dialog ref=${dialog} class="help" aria-labelledby="help" onClose=${onClose}
    onClick=${(/** @type {any} */ event) => event.target === dialog.current && dialog.current.close()}>
    <div>
      <h2 id="help">Help</h2>
      <dl>${KEYS.filter((key) => key.keys).map((key) => html`<div key=${key.keys}><dt><kbd>${key.keys}</kbd></dt><dd>${key.does}</dd></div>`)}</dl>
      <p>Columns are runs, rows are layers. Click the curve to go there.</p>
      ${[...VIEWS, unitPage].map(({ name, title, help }) => help && html`<p key=${name}>${title}: ${help}</p>`)}
      <p class="help-colours"><i style="background:#ff00ff"></i> not a number <i style="background:#ffe600"></i> +∞ <i style="background:#00e6ff"></i> −∞</p>
      <button class="link" onClick=${() => dialog.current.close()}>Close</button>
    </div>
  </dialog>`;
}
