/** Kinds of parts of the state that the address tells; see `Field` in types.js. */

/** Any text, or none. @type {(key: string) => Field<string | null>} */
export const text = (key) => ({ key, initial: null, write: (value) => value ?? undefined, read: (found) => found });

/** A unit of a layer, or none. @type {(key: string) => Field<Unit | null>} */
export const unit = (key) => ({ key, initial: null, write: (one) => (one ? `${one.unit},${one.layer}` : undefined), read: unitOf });

/** @param {string} found */
function unitOf(found) {
  const [, number, layer] = /^(\d+),(.*)$/.exec(found) ?? [];
  return number === undefined ? undefined : { unit: Number(number), layer };
}

/** One of some words; the first is how it begins, null where none is chosen. @type {<const T extends string | null>(key: string, words: T[]) => Field<T>} */
export const word = (key, words) => ({
  key, initial: words[0], write: (value) => value ?? undefined, read: (found) => words.find((one) => one === found),
});

/** A whole number from 0 to 999999. @type {<T extends number | null>(key: string, initial: T) => Field<T | number>} */
export const whole = (key, initial) => ({ key, initial, write: String, read: (found) => (/^\d{1,6}$/.test(found) ? Number(found) : undefined) });

/** A number. @type {<T extends number | null>(key: string, initial: T, allowed: (value: number) => boolean) => Field<T | number>} */
export const number = (key, initial, allowed) => ({
  key, initial, write: String, read: (found) => (found !== "" && allowed(Number(found)) ? Number(found) : undefined),
});

/**
 * How parts of the state begin.
 * @template Own
 * @param {Fields<Own>} fields
 * @returns {Own}
 */
export function initialOf(fields) {
  const entries = /** @type {[string, Field<any>][]} */ (Object.entries(fields));
  return /** @type {Own} */ (Object.fromEntries(entries.map(([name, { initial }]) => [name, initial])));
}
