/** The entry: TensorBoard imports this module into our frame and calls `render`. */

import { App } from "./components/app.js";
import { borrowFont, takeFocusWithPointer } from "./host.js";
import { html, render as mount } from "./vendor/htm-preact-3.1.1.js";

// Modules far down the tree, named here so that the browser asks for them at once and not one after the other.
import "./api.js";
import "./colours.js";
import "./components/curve.js";
import "./components/embeddingstage.js";
import "./components/neighbours.js";
import "./components/pointmap.js";
import "./components/imagestage.js";
import "./components/mapcell.js";
import "./components/film.js";
import "./components/lines.js";
import "./components/patchgrid.js";
import "./components/picture.js";
import "./components/unitsections.js";
import "./film.js";
import "./embedding.js";
import "./extents.js";
import "./scatter.js";
import "./snap.js";
import "./mosaic.js";
import "./draw.js";
import "./kinds.js";
import "./maps.js";
import "./npy.js";
import "./photographs.js";
import "./vendor/uPlot-1.6.32.js";
import "./views/activations.js";
import "./views/embedding.js";
import "./views/evolution.js";
import "./views/filters.js";
import "./views/patches.js";
import "./views/unit.js";
import "./words.js";

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
