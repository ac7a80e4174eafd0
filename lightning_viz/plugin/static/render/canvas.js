/** Canvases and their pixels. */

/** @typedef {{width: number, height: number}} Size */

/** Pixels of the screen per CSS pixel. */
export const pixelRatio = () => window.devicePixelRatio || 1;

/** Make a canvas have so many pixels; one that has them already keeps what it shows. @type {<T extends HTMLCanvasElement>(canvas: T, size: Size) => T} */
export function sized(canvas, { width, height }) {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  return canvas;
}

/** Make a canvas as large as its room, in CSS pixels, and empty. @type {(canvas: any, room: Size) => CanvasRenderingContext2D} */
export function freshCanvas(canvas, room) {
  const [width, height] = [room.width, room.height].map((length) => Math.max(1, Math.round(length * pixelRatio())));
  const context = sized(canvas, { width, height }).getContext("2d");
  context.clearRect(0, 0, width, height);
  return context;
}

/** Let a canvas show an image, one pixel per pixel. @type {(canvas: any, image: ImageData | ImageBitmap) => CanvasRenderingContext2D} */
export function showImage(canvas, image) {
  const context = sized(canvas, image).getContext("2d");
  if (image instanceof ImageData) context.putImageData(image, 0, 0);
  else context.drawImage(image, 0, 0);
  return context;
}
