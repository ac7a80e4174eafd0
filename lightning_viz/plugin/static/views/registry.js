/** The views. A new topic adds a folder beside this module, and one line here. */

export { view as activations } from "./activations/view.js";
export { view as embedding } from "./embedding/view.js";
export { view as evolution } from "./evolution/view.js";
export { view as filters } from "./filters/view.js";
export { view as images } from "./images/view.js";
export { view as patches } from "./patches/view.js";
export { view as synthesis } from "./synthesis/view.js";
