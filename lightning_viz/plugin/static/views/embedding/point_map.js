/** The map of one run: dots or images in pixels, what is pointed at and picked drawn over them. */

import { placeIn } from "../../components/use_pointer.js";
import { pixelRatio } from "../../render/canvas.js";
import { html, useEffect, useLayoutEffect, useMemo, useRef } from "../../vendor/htm-preact-3.1.1.js";
import { cameraOf, colourPoints, drawBase, drawMarks } from "./draw_points.js";
import { className } from "./model.js";
import { nearestPoint, pointsInside, sortIntoBuckets } from "./point_index.js";
import { makeAtlas } from "./raster.js";
import { Thumb } from "./thumbnail.js";

/** @typedef {import("./model.js").Column} Column */
/** @typedef {import("./neighbours.js").Links} Links */
/** @typedef {{width: number, height: number}} Size */

/** CSS pixels: how near a dot the pointer must be, and how far it goes until a click is a lasso. */
const REACH = 12;
const DRAG = 4;
/** Larger atlases are not made: then few images are in sight, and each is drawn by itself. */
const LARGEST = 4e6;
/** Of the enlarged image, in CSS pixels. */
const LARGE = 128;

/**
 * @param {Object} props
 * @param {Column} props.column
 * @param {Float32Array} props.places  Where the points belong, in the room.
 * @param {Size} props.room
 * @param {{zoom: number, x: number, y: number}} props.lens  x, y: the middle, as parts of the room
 * @param {(zoom: number, x: number, y: number) => void} props.look
 * @param {Size & {framed: boolean} | null} props.tile  Of an image; null: dots. framed: in the colour of its class, else only underlined, and as wide as its place at any zoom
 * @param {number} props.radius  of a dot
 * @param {ImageBitmap | null} props.bitmap  The sheet.
 * @param {number | null} props.emphasis
 * @param {{point: number}[]} props.near  The neighbours of a single selected point.
 * @param {number} props.time  How long a move takes, in milliseconds.
 * @param {boolean} props.evenly  Without coming to rest at its end.
 * @param {Links} props.links
 */
export function PointMap(props) {
  const { column, places, room, lens, look, tile, radius, bitmap, emphasis, near, time, evenly, links } = props;
  const [under, over, motion, drag] = [useRef(/** @type {any} */ (null)), useRef(/** @type {any} */ (null)), useRef(/** @type {any} */ ({ shown: null, frame: 0 })), useRef(/** @type {any} */ (null))];
  const sample = /** @type {Sample} */ (column.sample);
  const selected = links.selectedIn(column);
  const theme = document.documentElement.dataset.theme ?? "";
  const ratio = Math.min(2, pixelRatio());
  const camera = useMemo(() => cameraOf(lens, room), [lens, room.width, room.height]);
  const ink = useMemo(() => colourPoints(column, emphasis, selected, near), [column.labels, sample.count, emphasis, selected, near, theme, tile !== null]);
  // Overlapping images come apart when enlarged.
  const grow = tile?.framed ? Math.sqrt(lens.zoom) : lens.zoom;
  const size = tile && { width: tile.width * grow, height: tile.height * grow };
  const drawn = tile && size && { width: Math.max(1, Math.round(size.width * ratio)), height: Math.max(1, Math.round(size.height * ratio)), framed: tile.framed };
  const atlas = useMemo(
    () => (drawn && bitmap && drawn.width * drawn.height * sample.count < LARGEST ? makeAtlas(bitmap, sample, drawn) : null),
    [bitmap, drawn?.width, drawn?.height, sample.hash],
  );
  const buckets = useMemo(() => {
    /** @type {import("./point_index.js").Buckets | null} */
    let made = null;
    return () => (made ??= sortIntoBuckets(places));
  }, [places]);
  const hovered = links.hovered?.sample === sample.hash && (sample.hash || links.hovered?.run === column.run.run) ? /** @type {any} */ (links.hovered).point : -1;
  const here = hovered >= 0 && links.hovered?.run === column.run.run;

  const paint = useRef(() => {});
  paint.current = () => {
    drawBase(under.current, { ...{ room, camera, ratio, ink, atlas, sample, bitmap }, places: motion.current.shown, tile: drawn, radius: radius * Math.sqrt(lens.zoom) });
    mark.current();
  };
  const mark = useRef(() => {});
  mark.current = () => drawMarks(over.current, {
    ...{ room, camera, ratio, hovered, near, radius: radius * Math.sqrt(lens.zoom) }, places: motion.current.shown, labels: column.labels, query: near.length ? selected[0] : -1,
    tile: size, lasso: drag.current?.line ?? null,
  });

  useLayoutEffect(() => {
    const { shown, size } = motion.current;
    cancelAnimationFrame(motion.current.frame);
    const still = !time || !shown || shown.length !== places.length || size !== `${room.width} ${room.height}`;
    motion.current = { shown: still ? places : shown.slice(), size: `${room.width} ${room.height}`, frame: 0 };
    if (!still) glide(shown.slice(), places, time, evenly, motion.current, under.current, () => paint.current());
  }, [places]);
  useEffect(() => () => cancelAnimationFrame(motion.current.frame), []);
  useLayoutEffect(() => paint.current(), [ink, camera, atlas, tile, radius, bitmap, places, theme]);
  useLayoutEffect(() => mark.current());

  /** @param {any} event */
  function placeAt(event) {
    const { x, y } = placeIn(event, over.current);
    return { x: (x - camera.x) / camera.scale, y: (y - camera.y) / camera.scale };
  }
  /** @param {{x: number, y: number}} at */
  function pointAt({ x, y }) {
    return nearestPoint(buckets(), x, y, (size ? Math.hypot(size.width, size.height) / 2 : REACH) / camera.scale);
  }
  /** @param {any} event */
  function move(event) {
    const at = placeAt(event);
    if (!drag.current) return links.point(column, pointAt(at));
    const { from, line } = drag.current;
    if (!line && Math.hypot(event.clientX - from.x, event.clientY - from.y) < DRAG) return undefined;
    if (!line) links.point(column, -1);
    drag.current.line = [...(line ?? [placeAt({ clientX: from.x, clientY: from.y })]), at];
    return mark.current();
  }
  /** @param {any} event */
  function press(event) {
    if (event.button !== 0) return;
    drag.current = { from: { x: event.clientX, y: event.clientY }, line: null };
    over.current.setPointerCapture(event.pointerId);
  }
  /** @param {any} event */
  function release(event) {
    const line = drag.current?.line;
    if (!drag.current) return;
    drag.current = null;
    const point = line ? -1 : pointAt(placeAt(event));
    const again = selected.length === 1 && selected[0] === point;
    links.pick(column, line ? pointsInside(places, line) : point < 0 || again ? [] : [point], event.shiftKey);
    mark.current();
  }
  /** @param {WheelEvent} event */
  function wheel(event) {
    if (!event.ctrlKey && !event.metaKey && lens.zoom === 1) return;
    event.preventDefault();
    const at = placeAt(event);
    const zoom = event.ctrlKey || event.metaKey ? Math.max(1, Math.min(16, lens.zoom * Math.exp(-event.deltaY / 300))) : lens.zoom;
    const [x, y] = [lens.x * room.width, lens.y * room.height];
    if (zoom !== lens.zoom) look(zoom, (at.x - ((at.x - x) * lens.zoom) / zoom) / room.width, (at.y - ((at.y - y) * lens.zoom) / zoom) / room.height);
    else look(zoom, lens.x + event.deltaX / zoom / room.width, lens.y + event.deltaY / zoom / room.height);
  }
  const onWheel = useRef(wheel);
  onWheel.current = wheel;
  useEffect(() => over.current.addEventListener("wheel", (/** @type {WheelEvent} */ event) => onWheel.current(event), { passive: false }), []);

  return html`<div class="point-map" style=${`width:${room.width}px;height:${room.height}px`}>
    <canvas ref=${under} role="img" aria-label=${`Map of ${sample.count} ${tile ? "images" : "points"}, ${column.record?.layer}, ${column.run.run}`}></canvas>
    <canvas ref=${over} class="point-map-marks" aria-hidden="true" onPointerMove=${move} onPointerDown=${press} onPointerUp=${release}
      onPointerCancel=${() => (drag.current = null)} onPointerLeave=${() => drag.current || links.point(column, -1)}></canvas>
    ${here && Number.isFinite(places[2 * hovered]) && html`<${Card} ...${{ column, bitmap, room }} point=${hovered} at=${{ x: places[2 * hovered] * camera.scale + camera.x, y: places[2 * hovered + 1] * camera.scale + camera.y }} />`}
  </div>`;
}

/** The image that is pointed at, enlarged. @param {{column: Column, point: number, bitmap: ImageBitmap | null, room: Size, at: {x: number, y: number}}} props */
function Card({ column, point, bitmap, room, at }) {
  const sample = /** @type {Sample} */ (column.sample);
  const scale = LARGE / Math.max(1, sample.width, sample.height);
  const [width, height] = bitmap ? [scale * sample.width, scale * sample.height] : [0, 0];
  const left = at.x + 16 + LARGE + 14 > room.width ? at.x - 16 - Math.max(width, 80) - 12 : at.x + 16;
  const top = Math.max(0, Math.min(room.height - height - 44, at.y - height / 2));
  return html`<div class="point-card" style=${`left:${left}px;top:${top}px`}>
    ${bitmap && html`<div style=${`width:${width}px;height:${height}px`}><${Thumb} ...${{ bitmap, sample, point }} label=${`image of point ${point}`} /></div>`}
    <p><b>${className(sample, column.labels?.[point])}</b> <span class="dim">point ${point}</span></p>
  </div>`;
}

/** @type {(from: Float32Array, to: Float32Array, time: number, evenly: boolean, motion: {shown: Float32Array, frame: number}, canvas: HTMLElement, paint: () => void) => void} */
function glide(from, to, time, evenly, motion, canvas, paint) {
  let start = 0;
  canvas.dataset.moving = "true";
  const step = (/** @type {number} */ now) => {
    start ||= now;
    const part = Math.min(1, (now - start) / time);
    const eased = evenly ? part : part < 0.5 ? 2 * part * part : 1 - 2 * (1 - part) ** 2;
    // Who had no place appears where it belongs.
    for (let at = 0; at < to.length; at++) motion.shown[at] = part === 1 || Number.isNaN(from[at]) ? to[at] : from[at] + eased * (to[at] - from[at]);
    paint();
    if (part < 1) motion.frame = requestAnimationFrame(step);
    else delete canvas.dataset.moving;
  };
  motion.frame = requestAnimationFrame(step);
}
