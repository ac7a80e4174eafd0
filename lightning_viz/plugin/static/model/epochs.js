/** Arithmetic on epochs: which there are, which is next, and where a step lies between them. */

/** @param {Iterable<number>} epochs @returns {number[]} ascending, each once */
export const ascending = (epochs) => [...new Set(epochs)].sort((a, b) => a - b);

/**
 * The place of the one closest to `epoch`; of equally close ones the last. -1 when there is none.
 * @param {number[]} epochs
 * @param {number} epoch
 */
export function nearestPlace(epochs, epoch) {
  let best = -1;
  epochs.forEach((other, place) => {
    if (best < 0 || Math.abs(other - epoch) <= Math.abs(epochs[best] - epoch)) best = place;
  });
  return best;
}

/**
 * The one of `epochs` closest to `epoch`; NaN when there is none.
 * @param {number[]} epochs
 * @param {number} epoch
 */
export const nearest = (epochs, epoch) => epochs[nearestPlace(epochs, epoch)] ?? NaN;

/**
 * Go some places along `epochs`, not beyond its ends.
 * @param {number[]} epochs  ascending
 * @param {number} epoch  one of them
 * @param {number} by
 */
export function along(epochs, epoch, by) {
  const place = epochs.indexOf(epoch) + by;
  return epochs[Math.max(0, Math.min(epochs.length - 1, place))];
}

/**
 * The next earlier and the next later of `epochs`.
 * @param {number[]} epochs  ascending
 * @param {number} epoch
 */
export function around(epochs, epoch) {
  const before = epochs.filter((other) => other < epoch).at(-1);
  const after = epochs.find((other) => other > epoch);
  return [before, after].filter((other) => other !== undefined);
}

/**
 * Tie steps to epochs by pairs that are known, in straight lines between and beyond them.
 * @param {{epoch: number, step: number}[]} pairs
 * @returns {((step: number) => number) | null}  Null when the pairs don't say.
 */
export function epochsOfSteps(pairs) {
  /** @type {{epoch: number, step: number}[]} */
  const line = [];
  for (const pair of [...pairs].sort((a, b) => a.step - b.step || a.epoch - b.epoch)) {
    const last = line.at(-1);
    if (last?.step === pair.step) last.epoch = pair.epoch;
    else if (!last || pair.epoch > last.epoch) line.push({ ...pair });
  }
  if (line.length < 2) return null;
  return (step) => {
    const after = line.findIndex((pair) => pair.step >= step);
    const end = Math.max(1, after < 0 ? line.length - 1 : after);
    const [from, to] = [line[end - 1], line[end]];
    return from.epoch + ((step - from.step) / (to.step - from.step)) * (to.epoch - from.epoch);
  };
}

/** Lightning logs the number of the running epoch as a scalar: its last step is where that epoch ended. @param {Series} series */
export function pairsFromEpochScalar(series) {
  /** @type {Map<number, number>} */
  const ends = new Map();
  series.steps.forEach((step, index) => {
    const running = Number(series.values[index]);
    if (Number.isFinite(running)) ends.set(running, Math.max(step, ends.get(running) ?? 0));
  });
  return [{ epoch: 0, step: 0 }, ...[...ends].map(([running, step]) => ({ epoch: running + 1, step }))];
}
