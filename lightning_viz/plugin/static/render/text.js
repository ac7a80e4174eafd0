/** Numbers and lists as people read them. */

const MINUS = "\u2212";

/** Three significant digits. @param {unknown} value  a number, or "NaN", "Infinity", "-Infinity" as the wire has them */
export function number(value) {
  const real = typeof value === "number" ? value : Number(value);
  if (!Number.isFinite(real)) return String(real).replace("Infinity", "\u221e").replace("-", MINUS);
  const size = Math.abs(real);
  const text = size !== 0 && (size < 1e-3 || size >= 1e5) ? real.toExponential(2) : String(Number(real.toPrecision(3)));
  return text.replaceAll("-", MINUS);
}

/** @param {unknown} low @param {unknown} high */
export const range = (low, high) => `${number(low)} to ${number(high)}`;

/** @param {number} epoch */
export const epochText = (epoch) => String(Math.round(epoch * 1000) / 1000);

/**
 * @param {number} count
 * @param {string} singular
 * @param {string} [plural]
 */
export const plenty = (count, singular, plural = `${singular}s`) => `${count} ${count === 1 ? singular : plural}`;

/** @param {unknown} value  of a hyper-parameter */
export function parameter(value) {
  if (typeof value === "number" && !Number.isInteger(value)) return number(value);
  return typeof value === "string" ? value : JSON.stringify(value) ?? "";
}

/** "filter_norms" -> "Filter norms" @param {string} method */
export function title(method) {
  const words = method.replaceAll("_", " ").trim() || "Untitled";
  return words[0].toUpperCase() + words.slice(1);
}

/** A probability; or a score, where nothing makes probabilities of scores. @param {unknown} value */
export function share(value) {
  const real = Number(value);
  if (!(real >= 0 && real <= 1)) return number(value);
  return real > 0 && real < 0.005 ? "<1%" : `${Math.round(100 * real)}%`;
}
