/** What is chosen of what there is: runs, their records, a curve. */

/** @param {State} state */
export function shownRuns(state) {
  const exists = state.runs.map((run) => run.run);
  // A link may name runs that are gone: then it is as if nobody had chosen.
  const asked = state.chosen?.length && !state.chosen.some((name) => exists.includes(name)) ? null : state.chosen;
  return state.runs.filter((run) => (asked ?? state.automatic).includes(run.run));
}

/** @param {State} state */
export const shownRecords = (state) => shownRuns(state).map((run) => state.records[run.run] ?? []);

/** @param {State} state */
export function shownTags(state) {
  return [...new Set(shownRuns(state).flatMap((run) => state.tags[run.run] ?? []))];
}

/** @param {State} state */
export function currentTag(state) {
  const tags = shownTags(state);
  return state.tag !== null && tags.includes(state.tag) ? state.tag : usualTag(tags);
}

/** The first whose name holds "loss", training before validation. @param {string[]} tags */
function usualTag(tags) {
  const losses = tags.filter((tag) => /loss/i.test(tag));
  const training = losses.find((tag) => /train/i.test(tag)) ?? losses.find((tag) => !/val|test/i.test(tag));
  return training ?? losses[0] ?? tags.find((tag) => tag !== "epoch" && tag !== "hp_metric") ?? null;
}
