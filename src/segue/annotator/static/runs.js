// Masks as the server stores them: deflated varints of row-major run lengths inside a box, background first.
// @ts-check
/** @typedef {import("./types").Box} Box */

/** Run lengths -> varint bytes. @param {number[]} runs @returns {Uint8Array<ArrayBuffer>} */
export function toVarints(runs) {
  const bytes = [];
  for (let run of runs) {
    while (run > 127) {
      bytes.push((run & 127) | 128);
      run = Math.floor(run / 128);
    }
    bytes.push(run);
  }
  return new Uint8Array(bytes);
}

/** One byte a pixel (0 or 1), row-major -> run lengths, background first. @param {Uint8Array} pixels */
export function toRuns(pixels) {
  const runs = [];
  let value = 0;
  let length = 0;
  for (let i = 0; i < pixels.length; i++) {
    if (pixels[i] === value) {
      length++;
    } else {
      runs.push(length);
      value ^= 1;
      length = 1;
    }
  }
  runs.push(length);
  return runs;
}

/**
 * Varint bytes -> pixels of a box inside a frame of one empty pixel: (height + 2) rows of (width + 2).
 * @param {Uint8Array} bytes @param {number} width @param {number} height @param {Uint8Array} [pixels] zeros to write to
 */
export function toFramedPixels(bytes, width, height, pixels = new Uint8Array((width + 2) * (height + 2))) {
  const stride = width + 2;
  let value = 0;
  let x = 0;
  let row = stride + 1;
  for (let i = 0; i < bytes.length; ) {
    let run = 0;
    let scale = 1;
    let byte;
    do {
      byte = bytes[i++];
      run += (byte & 127) * scale;
      scale *= 128;
    } while (byte > 127);
    while (run > 0) {
      const here = Math.min(run, width - x);
      if (value) pixels.fill(1, row + x, row + x + here);
      x += here;
      run -= here;
      if (x === width) {
        x = 0;
        row += stride;
      }
    }
    value ^= 1;
  }
  return pixels;
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
export const deflate = (bytes) => through(bytes, new CompressionStream("deflate"));

/** @param {Uint8Array<ArrayBuffer>} bytes */
export const inflate = (bytes) => through(bytes, new DecompressionStream("deflate"));

/** Written in directly: a Blob's stream would go through the browser's own process. @param {Uint8Array<ArrayBuffer>} bytes @param {CompressionStream | DecompressionStream} stream */
async function through(bytes, stream) {
  const writer = stream.writable.getWriter();
  const written = Promise.all([writer.write(bytes), writer.close()]);
  const [whole] = await Promise.all([new Response(stream.readable).arrayBuffer(), written]);
  return new Uint8Array(whole);
}

/** @param {string} text @returns {Uint8Array<ArrayBuffer>} */
export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** @param {Uint8Array} bytes */
export function toBase64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}
