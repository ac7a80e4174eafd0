/** The way from a chosen unit to its page. */

import { openUnit } from "../model/state.js";
import { html } from "../vendor/htm-preact-3.1.1.js";

/** @param {{dispatch: Dispatch, unit: Unit}} props */
export const OpenUnit = ({ dispatch, unit: { layer, unit } }) => html`<button class="link open-unit" title="Or double-click it, or press U"
  onClick=${() => dispatch(openUnit, layer, unit)}>open unit ${unit}</button>`;
