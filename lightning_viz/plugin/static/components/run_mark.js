/** One colour and one shape per run, everywhere: nobody has to tell runs apart by colour alone. */

import { html } from "../vendor/htm-preact-3.1.1.js";

const COLOURS = 7;

/** In a box from -6 to 6. Six shapes and seven colours: 42 runs before a pair comes again. */
const SHAPES = [
  "M0,-5A5,5 0 1 1 0,5A5,5 0 1 1 0,-5Z",
  "M-4.5,-4.5H4.5V4.5H-4.5Z",
  "M0,-5.5L5.5,4.5H-5.5Z",
  "M0,-6L6,0L0,6L-6,0Z",
  "M-2,-5.5H2V-2H5.5V2H2V5.5H-2V2H-5.5V-2H-2Z",
  "M0,-6L1.6,-2.2L5.7,-1.9L2.6,0.8L3.5,4.9L0,2.7L-3.5,4.9L-2.6,0.8L-5.7,-1.9L-1.6,-2.2Z",
];

/** @param {number} place  of the run among all runs */
export const colourOf = (place) => `var(--run-${place % COLOURS})`;

/** @param {number} place  of the run among all runs */
export const shapeOf = (place) => SHAPES[place % SHAPES.length];

/**
 * @param {{place: number, size?: number}} props
 */
export function Mark({ place, size = 12 }) {
  return html`<svg class="run-mark" width=${size} height=${size} viewBox="-6.5 -6.5 13 13" aria-hidden="true">
    <path d=${shapeOf(place)} fill=${colourOf(place)} />
  </svg>`;
}
