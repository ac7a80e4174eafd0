/** The way from a chosen unit to its page. */

import { openUnit } from "../model/state.js";
import { html } from "../vendor/htm-preact-3.1.1.js";

/** @param {{act: import("../model/types.js").Act, unit: import("../model/types.js").Unit}} props */
export const OpenUnit = ({ act, unit: { layer, unit } }) => html`<button class="link open-unit" title="Or double-click it, or press U"
  onClick=${() => act(openUnit, layer, unit)}>open unit ${unit}</button>`;
