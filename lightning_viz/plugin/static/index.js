/** The entry: TensorBoard imports this module into our frame and calls `render`. */

import { App } from "./app/app.js";
import { sheets } from "./app/views.js";
import { borrowFont, takeFocusWithPointer } from "./io/host.js";
import { html, render as mount } from "./vendor/htm-preact-3.1.1.js";

/** Later ones win. */
const SHEETS = [
  "./vendor/uPlot-1.6.32.css",
  "./styles/tokens.css",
  "./styles/base.css",
  "./styles/app.css",
  "./styles/components.css",
  "./components/epoch_chart.css",
  "./components/film_strip.css",
  "./components/patch_grid.css",
].map((file) => new URL(file, import.meta.url));

const styles = Promise.all([...SHEETS, ...sheets].map(addStyle));

/** @param {URL} sheet */
function addStyle(sheet) {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = sheet.href;
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
