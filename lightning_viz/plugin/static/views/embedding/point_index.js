/** Which point is where: buckets of a uniform grid, so that a look costs the same with ten points and ten thousand. */

const SIDE = 24;

/** @typedef {{places: Float32Array, columns: number, rows: number, left: number, top: number, starts: Int32Array, points: Int32Array}} Buckets */

/**
 * @param {Float32Array} places  x, y of each; those without a place are left out
 * @returns {Buckets}
 */
export function sortIntoBuckets(places) {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  const has = (/** @type {number} */ at) => Number.isFinite(places[at] + places[at + 1]);
  for (let at = 0; at < places.length; at += 2) {
    if (!has(at)) continue;
    [left, right] = [Math.min(left, places[at]), Math.max(right, places[at])];
    [top, bottom] = [Math.min(top, places[at + 1]), Math.max(bottom, places[at + 1])];
  }
  const columns = left <= right ? Math.floor((right - left) / SIDE) + 1 : 0;
  const rows = left <= right ? Math.floor((bottom - top) / SIDE) + 1 : 0;
  const bucket = (/** @type {number} */ at) => Math.floor((places[at + 1] - top) / SIDE) * columns + Math.floor((places[at] - left) / SIDE);
  const starts = new Int32Array(columns * rows + 1);
  for (let at = 0; at < places.length; at += 2) if (has(at)) starts[bucket(at) + 1]++;
  for (let place = 1; place < starts.length; place++) starts[place] += starts[place - 1];
  const next = starts.slice();
  const points = new Int32Array(starts[starts.length - 1]);
  for (let at = 0; at < places.length; at += 2) if (has(at)) points[next[bucket(at)]++] = at / 2;
  return { places, columns, rows, left, top, starts, points };
}

/**
 * The point nearest to a place; -1 when none is within reach.
 * @param {Buckets} buckets
 * @param {number} x
 * @param {number} y
 * @param {number} reach
 */
export function nearestPoint({ places, columns, rows, left, top, starts, points }, x, y, reach) {
  let [best, least] = [-1, reach * reach];
  const inside = (/** @type {number} */ place, /** @type {number} */ end) => Math.max(0, Math.min(end - 1, Math.floor(place / SIDE)));
  if (!points.length || x + reach < left || y + reach < top) return -1;
  for (let row = inside(y - reach - top, rows); row <= inside(y + reach - top, rows); row++) {
    for (let column = inside(x - reach - left, columns); column <= inside(x + reach - left, columns); column++) {
      for (let at = starts[row * columns + column]; at < starts[row * columns + column + 1]; at++) {
        const distance = (places[2 * points[at]] - x) ** 2 + (places[2 * points[at] + 1] - y) ** 2;
        if (distance < least || (distance === least && points[at] < best)) [best, least] = [points[at], distance];
      }
    }
  }
  return best;
}

/**
 * The points inside a closed line, by the rule of even and odd crossings.
 * @param {Float32Array} places
 * @param {{x: number, y: number}[]} line
 */
export function pointsInside(places, line) {
  /** @type {number[]} */
  const found = [];
  for (let point = 0; 2 * point < places.length; point++) {
    const [x, y] = [places[2 * point], places[2 * point + 1]];
    let inside = false;
    for (let one = 0, other = line.length - 1; one < line.length; other = one++) {
      const [from, to] = [line[one], line[other]];
      if (from.y > y !== to.y > y && x < ((to.x - from.x) * (y - from.y)) / (to.y - from.y) + from.x) inside = !inside;
    }
    if (inside) found.push(point);
  }
  return found;
}
