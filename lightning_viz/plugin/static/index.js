/** The entry: TensorBoard imports this module into our frame and calls `render`. */

import { App } from "./app/app.js";
import { borrowFont, takeFocusWithPointer } from "./io/host.js";
import { html, render as mount } from "./vendor/htm-preact-3.1.1.js";
import { sheets } from "./views/registry.js";

// Modules far down the tree, named here so that the browser asks for them at once and not one after the other.
import "./app/scalar_chart.js";
import "./components/epoch_chart.js";
import "./components/film_strip.js";
import "./components/film_strip_layout.js";
import "./components/patch_grid.js";
import "./components/picture.js";
import "./io/api.js";
import "./io/npy.js";
import "./io/probe_images.js";
import "./model/patch_tables.js";
import "./render/filter_grid.js";
import "./render/maps.js";
import "./render/palettes.js";
import "./render/text.js";
import "./vendor/uPlot-1.6.32.js";
import "./views/embedding/extents.js";
import "./views/embedding/grid_layout.js";
import "./views/embedding/model.js";
import "./views/embedding/neighbours.js";
import "./views/embedding/point_map.js";
import "./views/embedding/raster.js";
import "./views/embedding/stage.js";
import "./views/images/columns.js";
import "./views/images/map_cell.js";
import "./views/images/stage.js";
import "./views/unit/sections.js";

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
