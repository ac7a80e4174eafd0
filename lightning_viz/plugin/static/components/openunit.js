/** The way from a chosen unit to its page. */

import { openUnit } from "../state.js";
import { html } from "../vendor/htm-preact-3.1.1.js";

/** @param {{act: import("../types.js").Act, unit: import("../types.js").Unit}} props */
export const OpenUnit = ({ act, unit: { layer, unit } }) => html`<button class="link open-unit" title="Or double-click it, or press U"
  onClick=${() => act(openUnit, layer, unit)}>open unit ${unit}</button>`;
