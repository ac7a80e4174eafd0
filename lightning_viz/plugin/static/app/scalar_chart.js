/** uPlot as a component. Drawn anew only when lines or colours change; the cursor at the epoch lies above it. */

import uPlot from "../vendor/uPlot-1.6.32.js";
import { colourOf, Mark } from "../components/run_mark.js";
import { placeIn } from "../components/use_pointer.js";
import { nearestPlace } from "../model/epochs.js";
import { epochText, number } from "../render/text.js";
import { html, useLayoutEffect, useRef, useState } from "../vendor/htm-preact-3.1.1.js";

/** @typedef {import("./scalar_panel.js").Line} Line */

/** Distances between the numbers on the axis of epochs. */
const EPOCHS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 100_000, 1_000_000];

/** @param {{lines: Line[], epoch: number, dark: boolean, first: number, last: number, onPick: (epoch: number) => void}} props */
export function Curve({ lines, epoch, dark, first, last, onPick }) {
  const holder = useRef(/** @type {any} */ (null));
  const pick = useRef(onPick);
  pick.current = onPick;
  const [plot, setPlot] = useState(/** @type {uPlot | null} */ (null));
  const [, redrawn] = useState(0);

  useLayoutEffect(() => {
    const element = holder.current;
    const made = new uPlot(options(lines, first, last, element), table(lines), element);
    setPlot(made);
    // Not "click": that needs the plot of the press to be there still at the release, and a poll may bring a new one.
    /** @param {PointerEvent} event */
    const release = (event) => {
      const { x, width } = placeIn(event, made.over);
      if (event.button === 0 && x >= 0 && x <= width) pick.current(made.posToVal(x, "x"));
    };
    element.addEventListener("pointerup", release);
    const observer = new ResizeObserver(() => {
      made.setSize({ width: element.clientWidth, height: element.clientHeight });
      redrawn((count) => count + 1);
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      element.removeEventListener("pointerup", release);
      made.destroy();
    };
  }, [lines, dark, first, last]);

  const x = (epoch - first) / (last - first);
  return html`<div class="scalar-chart">
    <div class="scalar-plot" ref=${holder}></div>
    <div class="scalar-cursor" style=${`--at:${x}`}>
      ${plot && lines.map((line) => {
        const value = line.values[nearestPlace(line.epochs, epoch)];
        const top = value === null ? NaN : plot.valToPos(value, "y") + plot.over.offsetTop;
        return Number.isFinite(top) && html`<span key=${line.run} style=${`top:${top}px`}><${Mark} place=${line.place} size=${11} /></span>`;
      })}
    </div>
  </div>`;
}

/** @param {Line[]} lines @returns {uPlot.AlignedData} */
function table(lines) {
  const tables = lines.map((line) => /** @type {uPlot.AlignedData} */ ([line.epochs, line.values]));
  return uPlot.join(tables, lines.map(() => [0, 1]));
}

/**
 * @param {Line[]} lines
 * @param {number} first
 * @param {number} last
 * @param {HTMLElement} element
 * @returns {uPlot.Options}
 */
function options(lines, first, last, element) {
  const style = getComputedStyle(element);
  /** @param {string} name */
  const token = (name) => style.getPropertyValue(name.replace(/^var\((.*)\)$/, "$1"));
  const axis = { stroke: token("--dim"), font: `${token("--font-small")} ${style.fontFamily}`, ticks: { show: false } };
  const [gutter, end] = ["--axis-gutter", "--axis-end"].map((name) => parseFloat(token(name)));
  const grid = { stroke: token("--line"), width: 1 };
  return {
    width: element.clientWidth,
    height: element.clientHeight,
    padding: [8, end, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      points: { show: false },
      drag: { x: false, y: false, setScale: false },
    },
    scales: { x: { time: false, range: [first, last] } },
    series: [{}, ...lines.map((line) => ({ stroke: token(colourOf(line.place)), width: 1.5, points: { show: line.epochs.length < 3 } }))],
    axes: [
      { ...axis, size: 24, gap: 4, incrs: last - first > 2 ? EPOCHS : undefined, grid: { show: false }, values: (_, ticks) => ticks.map(epochText) },
      { ...axis, size: gutter, gap: 6, space: 28, grid, values: (_, ticks) => ticks.map(number) },
    ],
  };
}
