/** The entry: TensorBoard imports this module into our frame and calls `render`. */

import { App } from "./app/app.js";
import { borrowFont, takeFocusWithPointer } from "./io/host.js";
import { html, render as mount } from "./vendor/htm-preact-3.1.1.js";

const styles = Promise.all(["./vendor/uPlot-1.6.32.css", "./style.css", "./views.css", "./films.css", "./embedding.css"].map(addStyle));

/** @param {string} file */
function addStyle(file) {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL(file, import.meta.url).href;
  const loaded = new Promise((resolve) => (link.onload = link.onerror = resolve));
  document.head.append(link);
  return loaded;
}

/** Draw the tab. */
export async function render() {
  document.documentElement.lang = "en";
  document.title = "Lightning Viz";
  borrowFont();
  takeFocusWithPointer();
  await styles;
  mount(html`<${App} />`, document.body);
}
