/** What is far from the visible part need not be drawn. */

import { useEffect, useState } from "../vendor/htm-preact-3.1.1.js";

/**
 * Whether an element is on the screen, or nearly.
 * @param {{current: Element | null}} element
 */
export function useVisible(element) {
  const [visible, setVisible] = useState(false);
  useEffect(() => {
    const target = /** @type {Element} */ (element.current);
    const stage = target.closest(".stage");
    const observer = new IntersectionObserver((entries) => setVisible(entries[entries.length - 1].isIntersecting), { root: stage, rootMargin: "200px" });
    observer.observe(target);
    return () => observer.disconnect();
  }, []);
  return visible;
}
