/**
 * Thousands of dots, or of small images, written into pixels directly: in software many times faster than paths or
 * `drawImage`. All pixels are opaque, as an ImageData has them (`packed`).
 */

/** @typedef {{pixels: Uint32Array, width: number, height: number}} Ground */
/** @typedef {{scale: number, x: number, y: number}} Camera  From places to pixels. */
/** @typedef {{pixels: Uint32Array, width: number, columns: number, tile: {width: number, height: number}}} Atlas  All images at the size in which they are drawn. */

/** Steps between two pixels at which a dot can stand: without them slow dots would jump. */
const STEPS = 4;

/** @typedef {{side: number, dots: Uint8Array[], halos: Uint8Array[]}} Stamp  How much of each pixel a dot covers, of 255 */

/** @type {Map<string, Stamp>} */
const stamps = new Map();

/**
 * @param {number} radius
 * @param {number} halo  Around it: it parts dots that overlap, and dark ones from a dark ground.
 * @returns {Stamp}
 */
function stampOf(radius, halo) {
  radius = Math.round(8 * radius) / 8;
  const key = `${radius} ${halo}`;
  const known = stamps.get(key);
  if (known) return known;
  const side = 2 * Math.ceil(radius + halo + 0.5) + 2;
  const masks = (/** @type {number} */ reach) =>
    Array.from({ length: STEPS * STEPS }, (_, step) => {
      const [x, y] = [side / 2 + (step % STEPS) / STEPS, side / 2 + Math.floor(step / STEPS) / STEPS];
      return Uint8Array.from({ length: side * side }, (_, at) => {
        const distance = Math.hypot((at % side) + 0.5 - x, Math.floor(at / side) + 0.5 - y);
        return 255 * Math.max(0, Math.min(1, reach - distance + 0.5));
      });
    });
  const made = { side, dots: masks(radius), halos: masks(halo ? radius + halo : 0) };
  if (stamps.size >= 32) stamps.clear();
  stamps.set(key, made);
  return made;
}

/** @param {number} under @param {number} over @param {number} part  of 255 */
export function mix(under, over, part) {
  const rest = 255 - part;
  const red = ((under & 255) * rest + (over & 255) * part + 127) / 255;
  const green = (((under >> 8) & 255) * rest + ((over >> 8) & 255) * part + 127) / 255;
  const blue = (((under >> 16) & 255) * rest + ((over >> 16) & 255) * part + 127) / 255;
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/**
 * @param {Ground} ground
 * @param {Float32Array} places  x, y of each
 * @param {Camera} camera
 * @param {Int32Array} order  Which are drawn: the last lies on top.
 * @param {Uint32Array} colours
 * @param {{radius: number, halo: number, rim: number}} dot  rim: the colour of the halo
 */
export function drawDots({ pixels, width, height }, places, { scale, x: offsetX, y: offsetY }, order, colours, { radius, halo, rim }) {
  const { side, dots, halos } = stampOf(radius, halo);
  for (const point of order) {
    const x = places[2 * point] * scale + offsetX;
    const y = places[2 * point + 1] * scale + offsetY;
    const [left, top] = [Math.floor(x), Math.floor(y)];
    if (!(left > -side && top > -side && left < width + side && top < height + side)) continue;
    const step = Math.floor((y - top) * STEPS) * STEPS + Math.floor((x - left) * STEPS);
    const [dot, around, colour] = [dots[step], halos[step], colours[point]];
    const [fromX, fromY] = [left - side / 2, top - side / 2];
    for (let row = Math.max(0, -fromY); row < Math.min(side, height - fromY); row++) {
      for (let column = Math.max(0, -fromX); column < Math.min(side, width - fromX); column++) {
        const covered = dot[row * side + column];
        const at = (fromY + row) * width + fromX + column;
        if (covered === 255) pixels[at] = colour;
        else if (around[row * side + column]) pixels[at] = mix(mix(pixels[at], rim, around[row * side + column]), colour, covered);
        else if (covered) pixels[at] = mix(pixels[at], colour, covered);
      }
    }
  }
}

/**
 * @param {Ground} ground
 * @param {Float32Array} places  Their middles.
 * @param {Camera} camera
 * @param {Int32Array} order
 * @param {Atlas} atlas
 * @param {Uint32Array} colours  Of their frames.
 * @param {{frame: number, side: number, faint: Uint8Array | null, back: number}} how  frame: its width below; side: at the
 *   other sides; faint: how much of each is the ground, of 255
 */
export function drawTiles({ pixels, width, height }, places, camera, order, atlas, colours, { frame, side, faint, back }) {
  const { width: wide, height: tall } = atlas.tile;
  for (const point of order) {
    const left = Math.round(places[2 * point] * camera.scale + camera.x - wide / 2);
    const top = Math.round(places[2 * point + 1] * camera.scale + camera.y - tall / 2);
    if (!(left > -wide && top > -tall && left < width && top < height)) continue;
    const source = Math.floor(point / atlas.columns) * tall * atlas.width + (point % atlas.columns) * wide;
    const [colour, gone] = [colours[point], faint ? faint[point] : 0];
    for (let row = Math.max(0, -top); row < Math.min(tall, height - top); row++) {
      const edge = row < side || row >= tall - frame;
      const [to, from] = [(top + row) * width + left, source + row * atlas.width];
      for (let column = Math.max(0, -left); column < Math.min(wide, width - left); column++) {
        if (edge || column < side || column >= wide - side) pixels[to + column] = colour;
        else pixels[to + column] = gone ? mix(atlas.pixels[from + column], back, gone) : atlas.pixels[from + column];
      }
    }
  }
}

/**
 * All images of a sheet at one size.
 * @param {ImageBitmap} bitmap
 * @param {{width: number, height: number, columns: number, count: number}} sheet  width, height: of an image in it
 * @param {{width: number, height: number}} tile
 * @returns {Atlas}
 */
export function makeAtlas(bitmap, { width, height, columns, count }, tile) {
  const rows = Math.ceil(count / columns);
  const canvas = new OffscreenCanvas(columns * tile.width, rows * tile.height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  context.imageSmoothingEnabled = tile.width < 2 * width;
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, columns * width, rows * height, 0, 0, canvas.width, canvas.height);
  const pixels = new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  for (let at = 0; at < pixels.length; at++) pixels[at] |= 0xff000000;
  return { pixels, width: canvas.width, columns, tile };
}
