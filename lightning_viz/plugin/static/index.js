/** The entry: TensorBoard imports this module into our frame and calls `render`. */

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

// Sheets and modules are fetched side by side: static imports would all come before the first sheet.
const styles = SHEETS.map(addStyle);
const modules = Promise.all([import("./app/app.js"), import("./app/views.js")]);

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
  const [{ App }, { sheets }] = await modules;
  await Promise.all([...styles, ...sheets.map(addStyle)]);
  mount(html`<${App} />`, document.body);
}
