/** The routes of http_api.md as functions. What comes is checked only where the page would break. */

const ROUTES = new URL("../../", import.meta.url);

/** @param {string} route @param {Record<string, string | number>} [query] */
function address(route, query = {}) {
  const pairs = Object.entries(query).map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
  return new URL(pairs.length ? `${route}?${pairs.join("&")}` : route, ROUTES).href;
}

/** @param {string} route @param {Record<string, string | number>} [query] */
async function ask(route, query) {
  const response = await fetch(address(route, query));
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  throw new Error(answer?.error ?? `TensorBoard answered ${response.status} to "${route}"`);
}

/** @returns {Promise<Run[]>} */
export async function fetchRuns() {
  return (await ask("runs")).runs;
}

/**
 * Where the images of a probe are; their number follows.
 * @param {string} run
 * @param {string} probe
 */
export const probeImages = (run, probe) => `${address("probe_image", { run, probe })}&image=`;

/**
 * @param {string} run
 * @param {number} after  Only records with a higher `seq`.
 * @returns {Promise<Rec[]>}
 */
export async function fetchRecords(run, after) {
  const { records } = await ask("records", { run, after });
  for (const record of records) {
    record.epoch = Math.round(record.epoch * 1e6) / 1e6; // so that equal epochs of two runs are equal
    record.photographs = record.probe ? probeImages(run, record.probe) : null;
    record.items.forEach((/** @type {any} */ item, /** @type {number} */ number) => {
      item.url = address("blob", { run, seq: record.seq, item: number, t: record.wall_time });
    });
  }
  return records;
}

/** @param {string} run @returns {Promise<Kept>} */
export const fetchKept = (run) => ask("kept_images", { run });

/** @param {string} key */
export const keptUrl = (key) => address("kept_image", { key });

/** @param {string} run @returns {Promise<string[]>} */
export async function fetchTags(run) {
  const answer = await ask("scalar_tags", { run });
  return Array.isArray(answer) ? answer : answer.tags;
}

/**
 * @param {string} run
 * @param {string} tag
 * @returns {Promise<Series>}
 */
export const fetchSeries = (run, tag) => ask("scalars", { run, tag });
