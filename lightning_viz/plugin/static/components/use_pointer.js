/** Where the pointer is. */

import { useState } from "../vendor/htm-preact-3.1.1.js";

/**
 * The place of an event in an element (that which listens), in CSS pixels from its upper left corner; and the element's size.
 * @param {{clientX: number, clientY: number, currentTarget?: any}} event
 * @param {Element} [element]
 */
export function placeIn(event, element = event.currentTarget) {
  const { left, top, width, height } = /** @type {Element} */ (element).getBoundingClientRect();
  return { x: event.clientX - left, y: event.clientY - top, width, height };
}

/**
 * Where the pointer is in an element; null while it is elsewhere.
 * @returns {[{x: number, y: number} | null, Record<string, (event: any) => void>]}  the place; what listens, to be spread into the element
 */
export function usePointer() {
  const [place, setPlace] = useState(/** @type {{x: number, y: number} | null} */ (null));
  return [place, { onPointerMove: (event) => setPlace(placeIn(event)), onPointerLeave: () => setPlace(null) }];
}
