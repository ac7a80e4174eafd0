/** What is far from the visible part need not be drawn. */

import { useEffect, useState } from "../vendor/htm-preact-3.1.1.js";

/**
 * Whether an element is on the screen, or nearly.
 * @param {{current: Element | null}} element
 * @param {string} [margin]  what is nearly, as of an IntersectionObserver
 * @param {boolean} [first]  until that is known
 */
export function useVisible(element, margin = "200px", first = false) {
  const [visible, setVisible] = useState(first);
  useEffect(() => {
    const target = /** @type {Element} */ (element.current);
    const observer = new IntersectionObserver((entries) => setVisible(entries[entries.length - 1].isIntersecting), { root: target.closest(".stage"), rootMargin: margin });
    observer.observe(target);
    return () => observer.disconnect();
  }, []);
  return visible;
}
