/** The keyboard: one table for what keys do and for what the help says about them. */

/** @typedef {{keys: string, does: string, run: (do_: Deeds) => void, match: (event: KeyboardEvent) => boolean}} Key */
/** @typedef {{step: (by: number) => void, play: () => void, help: () => void, unit: () => void, nextUnit: (by: number) => void, goBack: () => void}} Deeds */

/** @type {(key: string, shift?: boolean) => (event: KeyboardEvent) => boolean} */
const pressed = (key, shift = false) => (event) => event.key === key && event.shiftKey === shift;

/** @type {Key[]} */
export const KEYS = [
  { keys: "\u2190  \u2192", does: "previous, next epoch", match: pressed("ArrowLeft"), run: (do_) => do_.step(-1) },
  { keys: "", does: "", match: pressed("ArrowRight"), run: (do_) => do_.step(1) },
  { keys: "Shift + \u2190  \u2192", does: "ten at once", match: pressed("ArrowLeft", true), run: (do_) => do_.step(-10) },
  { keys: "", does: "", match: pressed("ArrowRight", true), run: (do_) => do_.step(10) },
  { keys: "Home  End", does: "first, last epoch", match: pressed("Home"), run: (do_) => do_.step(-Infinity) },
  { keys: "", does: "", match: pressed("End"), run: (do_) => do_.step(Infinity) },
  { keys: "Space", does: "play, pause", match: pressed(" "), run: (do_) => do_.play() },
  { keys: "U", does: "page of the chosen unit", match: (event) => event.key.toLowerCase() === "u", run: (do_) => do_.unit() },
  { keys: ",  .", does: "on it: previous, next unit", match: pressed(","), run: (do_) => do_.nextUnit(-1) },
  { keys: "", does: "", match: pressed("."), run: (do_) => do_.nextUnit(1) },
  { keys: "Escape", does: "back from it; nothing selected", match: pressed("Escape"), run: (do_) => do_.goBack() },
  { keys: "?", does: "this help", match: (event) => event.key === "?", run: (do_) => do_.help() },
];

/**
 * Whether the focused element needs a key itself: text fields all, buttons their Space, scrollable pictures their arrows.
 * @param {KeyboardEvent} event
 */
function isTaken({ key, target }) {
  if (!(target instanceof Element)) return false;
  if (target.closest("dialog[open]")) return true;
  if (target.matches("input:not([type=range], [type=checkbox]), select, textarea")) return true;
  if (target.matches(".toolbar-opacity input")) return key !== " " && key !== "?";
  if (key === " ") return target.matches("button, summary, a, input[type=checkbox]");
  return key.startsWith("Arrow") && target.matches(".picture-window[tabindex]");
}

/** @param {Deeds} deeds @returns {() => void} ends it */
export function listenToKeys(deeds) {
  /** @param {KeyboardEvent} event */
  function onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || isTaken(event)) return;
    const key = KEYS.find((one) => one.match(event));
    if (!key) return;
    event.preventDefault();
    key.run(deeds);
  }
  document.addEventListener("keydown", onKey);
  return () => document.removeEventListener("keydown", onKey);
}
