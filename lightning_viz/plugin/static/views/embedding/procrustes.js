/** Rigid Procrustes in the plane: the rotation or reflection, and the shift, that lay one layout upon another. */

/**
 * What moves a point: x' = a x + b y + x0, y' = c x + d y + y0.
 * @typedef {{a: number, b: number, c: number, d: number, x0: number, y0: number}} Motion
 */

/** @type {Motion} */
export const STILL = { a: 1, b: 0, c: 0, d: 1, x0: 0, y0: 0 };

/**
 * The motion, without scaling, that brings points nearest to those of the same number in a reference, in the mean of
 * squares. As complex numbers p and q about their means, the best turn is the direction of the sum of conj(p) q; of the
 * mirrored points, of the sum of p q; the longer sum wins. Points that are not finite in both are left out.
 * @param {Float32Array} points  x, y of each
 * @param {Float32Array} reference
 * @returns {Motion}
 */
export function align(points, reference) {
  /** @type {number[]} */
  const both = [];
  for (let at = 0; at + 1 < Math.min(points.length, reference.length); at += 2) {
    if (Number.isFinite(points[at] + points[at + 1] + reference[at] + reference[at + 1])) both.push(at);
  }
  if (!both.length) return STILL;
  const mean = (/** @type {Float32Array} */ values, /** @type {number} */ axis) => both.reduce((sum, at) => sum + values[at + axis], 0) / both.length;
  const [px, py, qx, qy] = [mean(points, 0), mean(points, 1), mean(reference, 0), mean(reference, 1)];
  let [turnX, turnY, mirrorX, mirrorY] = [0, 0, 0, 0];
  for (const at of both) {
    const [x, y, u, v] = [points[at] - px, points[at + 1] - py, reference[at] - qx, reference[at + 1] - qy];
    turnX += x * u + y * v;
    turnY += x * v - y * u;
    mirrorX += x * u - y * v;
    mirrorY += x * v + y * u;
  }
  const mirrored = Math.hypot(mirrorX, mirrorY) > Math.hypot(turnX, turnY);
  const angle = mirrored ? Math.atan2(mirrorY, mirrorX) : Math.atan2(turnY, turnX);
  const [cos, sin, flip] = [Math.cos(angle), Math.sin(angle), mirrored ? -1 : 1];
  const [a, b, c, d] = [cos, -sin * flip, sin, cos * flip];
  return { a, b, c, d, x0: qx - a * px - b * py, y0: qy - c * px - d * py };
}
