/** Sheets: the thumbnails of all points of a sample in one image. */

import { probeImages } from "../../io/api.js";
import { useFirstImage } from "../../io/probe_images.js";

/** Where a point's image lies in its sheet. @type {(sample: Sample, point: number) => {x: number, y: number}} */
export const placeInSheet = ({ columns, width, height }, point) => ({ x: (point % columns) * width, y: Math.floor(point / columns) * height });

/**
 * The sheet of a sample, or in words why there is none; null while it is on its way.
 * @param {Sample | null} sample
 * @param {string[]} runs  That have it, as far as is known: the first that does gives it.
 * @returns {{bitmap: ImageBitmap | null, problem: string}}
 */
export function useSheet(sample, runs) {
  const { hash = "", width = 0, height = 0, columns = 0, count = 0 } = sample ?? {};
  const drawn = width && height && columns;
  const { bitmap, problem } = useFirstImage(drawn ? hash : "", runs.map((run) => probeImages(run, hash)));
  if (sample && !hash) return { bitmap, problem: "This record does not say which images its points are." };
  if (sample && !drawn) return { bitmap, problem: "This record has no thumbnails." };
  const smaller = bitmap && (bitmap.width < columns * width || bitmap.height < Math.ceil(count / columns) * height);
  return { bitmap, problem: smaller ? "The sheet of thumbnails is smaller than its record says." : problem };
}
