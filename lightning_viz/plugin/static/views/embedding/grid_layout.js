/** Points onto a grid, one in each place, neighbours staying near each other: recursive splits at the median. */

/** @typedef {{places: Float32Array, columns: number, rows: number, width: number, height: number}} Snapped  width, height: of a place */

/**
 * Fill a grid row by row, only the last row not to its end; points without a place stay without.
 * @param {Float32Array} places  x, y of each
 * @param {{width: number, height: number}} room
 * @param {number} aspect  width of a tile / its height
 * @returns {Snapped}
 */
export function snap(places, room, aspect) {
  const points = new Int32Array(places.length / 2);
  let count = 0;
  for (let point = 0; point < points.length; point++) if (Number.isFinite(places[2 * point] + places[2 * point + 1])) points[count++] = point;
  const columns = Math.max(1, columnsFor(count, room, aspect));
  const rows = Math.max(1, Math.ceil(count / columns));
  const width = Math.min(room.width / columns, (aspect * room.height) / rows);
  const height = width / aspect;
  const [left, top] = [(room.width - columns * width) / 2, (room.height - rows * height) / 2];
  const snapped = new Float32Array(places.length).fill(NaN);

  /** @type {(from: number, to: number, column: number, row: number, across: number, down: number) => void} */
  function split(from, to, column, row, across, down) {
    if (to - from <= 0) return;
    if (across === 1 && down === 1) {
      snapped[2 * points[from]] = left + (column + 0.5) * width;
      snapped[2 * points[from] + 1] = top + (row + 0.5) * height;
      return;
    }
    const wide = across > 1 && (down === 1 || across * width >= down * height);
    const half = wide ? across >> 1 : down >> 1;
    const middle = from + (wide ? capacity(column, row, half, down) : capacity(column, row, across, half));
    selectSmallest(points, places, from, to, middle, wide ? 0 : 1);
    split(from, middle, column, row, wide ? half : across, wide ? down : half);
    if (wide) split(middle, to, column + half, row, across - half, down);
    else split(middle, to, column, row + half, across, down - half);
  }

  /** How many places of a part of the grid are in use. @type {(column: number, row: number, across: number, down: number) => number} */
  function capacity(column, row, across, down) {
    const last = count - (rows - 1) * columns;
    const missing = row + down === rows ? Math.max(0, column + across - Math.max(column, last)) : 0;
    return across * down - missing;
  }

  split(0, count, 0, 0, columns, rows);
  return { places: snapped, columns, rows, width, height };
}

/**
 * The number of columns that lets tiles be largest.
 * @param {number} count
 * @param {{width: number, height: number}} room
 * @param {number} aspect
 */
function columnsFor(count, room, aspect) {
  const about = Math.sqrt((count * room.width) / (aspect * room.height));
  const sizes = [Math.floor(about), Math.ceil(about), Math.ceil(about) + 1].filter((columns) => columns > 0);
  const size = (/** @type {number} */ columns) => Math.min(room.width / columns, (aspect * room.height) / Math.ceil(count / columns));
  return sizes.reduce((best, columns) => (size(columns) > size(best) ? columns : best), sizes[0] ?? 1);
}

/**
 * Bring the smallest of some points, by an axis and then by number, to the front (Hoare's selection).
 * @param {Int32Array} points
 * @param {Float32Array} places
 * @param {number} from
 * @param {number} to
 * @param {number} middle  where the front ends
 * @param {number} axis
 */
function selectSmallest(points, places, from, to, middle, axis) {
  const before = (/** @type {number} */ one, /** @type {number} */ other) => {
    const difference = places[2 * one + axis] - places[2 * other + axis];
    return difference < 0 || (difference === 0 && one < other);
  };
  let [low, high] = [from, to - 1];
  while (low < high && middle > low && middle <= high) {
    const pivot = points[(low + high) >> 1];
    let [left, right] = [low, high];
    while (left <= right) {
      while (before(points[left], pivot)) left++;
      while (before(pivot, points[right])) right--;
      if (left > right) break;
      [points[left], points[right]] = [points[right], points[left]];
      left++;
      right--;
    }
    if (middle <= right) high = right;
    else if (middle >= left) low = left;
    else return;
  }
}
