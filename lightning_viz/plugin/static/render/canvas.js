/** Canvases and their pixels. */

/** Pixels of the screen per CSS pixel. */
export const pixelRatio = () => window.devicePixelRatio || 1;

/**
 * Make a canvas as large as that; one that is so already keeps its pixels.
 * @template {HTMLCanvasElement} T
 * @param {T} canvas
 * @param {{width: number, height: number}} size  in pixels of its own
 * @returns {T}
 */
export function sized(canvas, { width, height }) {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  return canvas;
}

/**
 * Make a canvas as large as its room, and empty.
 * @param {any} canvas
 * @param {{width: number, height: number}} size  in CSS pixels
 * @returns {CanvasRenderingContext2D}
 */
export function freshCanvas(canvas, size) {
  const [width, height] = [size.width, size.height].map((length) => Math.max(1, Math.round(length * pixelRatio())));
  const context = sized(canvas, { width, height }).getContext("2d");
  context.clearRect(0, 0, width, height);
  return context;
}

/**
 * Let a canvas be an image.
 * @param {any} canvas
 * @param {ImageData | ImageBitmap} image
 * @returns {CanvasRenderingContext2D}
 */
export function showImage(canvas, image) {
  const context = sized(canvas, image).getContext("2d");
  if (image instanceof ImageData) context.putImageData(image, 0, 0);
  else context.drawImage(image, 0, 0);
  return context;
}
