/** NumPy's .npy format, as far as the store writes it: little-endian float32, rows first. */

/** @param {ArrayBuffer} buffer @returns {Values} */
export function parseNpy(buffer) {
  const bytes = new Uint8Array(buffer);
  if (bytes.length < 12 || String.fromCharCode(...bytes.subarray(1, 6)) !== "NUMPY") throw new Error("not a .npy file");
  const view = new DataView(buffer);
  const wide = bytes[6] > 1; // version 1 counts the header in two bytes, later ones in four
  const start = wide ? 12 : 10;
  const end = start + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder().decode(bytes.subarray(start, end));
  const shape = /'shape': \(([\d, ]*)\)/.exec(header)?.[1].match(/\d+/g)?.map(Number) ?? [];
  const size = shape.reduce((product, length) => product * length, 1);
  const plain = header.includes("'<f4'") && header.includes("'fortran_order': False");
  if (!plain || bytes.length < end + 4 * size) throw new Error("not a whole float32 .npy file");
  return { shape, data: new Float32Array(end % 4 ? buffer.slice(end) : buffer, end % 4 ? 0 : end, size) };
}
