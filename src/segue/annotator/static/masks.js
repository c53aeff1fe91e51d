// A mask in the page: from the server's bytes (deflated varints of row-major run lengths inside a box, background first) to
// the outline that is drawn, sharp at every zoom, holes included.
// @ts-check
/** @typedef {import("./types").Shape} Shape */
/** @typedef {import("./types").MaskMessage} MaskMessage */
/** @typedef {import("./types").Box} Box */

const KEPT = 2000;
/** Decodes off the page's own thread; it loads this very module, so it begins when it is first needed. @type {Worker | undefined} */
let worker;
/** @type {Map<number, Promise<Shape>>} */
const shapes = new Map();
/** @type {Map<number, {done: (path: string) => void, failed: (error: Error) => void}>} */
const waiting = new Map();
let count = 0;

/** The mask ready to draw. @param {MaskMessage} mask @returns {Promise<Shape>} */
export function shapeOf(mask) {
  return shapes.get(mask.id) ?? keep(mask.id, shapeFrom(mask, inWorker(mask)));
}

/** A mask that is not saved yet. A small one is decoded here, sooner than the way to the worker and back. @param {Omit<MaskMessage, "id">} early @returns {Promise<Shape>} */
export function earlyShape(early) {
  const mask = { ...early, id: 0 };
  const [x0, y0, x1, y1] = early.box;
  const small = early.data.length < 24_000 && (x1 - x0) * (y1 - y0) < 3_000_000;
  return shapeFrom(mask, small ? outlineOf(mask) : inWorker(mask));
}

/** The mask `id` if it was decoded before. @param {number | null} id */
export const knownShape = async (id) => (await shapes.get(id ?? 0)) ?? null;

/** Now it is saved, as mask `id`. @param {number} id @param {Shape | Promise<Shape>} shape @returns {Promise<Shape>} */
export function keep(id, shape) {
  const promise = Promise.resolve(shape);
  shapes.set(id, promise);
  if (shapes.size > KEPT) shapes.delete(shapes.keys().next().value ?? -1);
  return promise;
}

/** @param {MaskMessage} mask @returns {Promise<string>} */
function inWorker(mask) {
  const id = ++count;
  return new Promise((done, failed) => {
    waiting.set(id, { done, failed });
    if (!worker) {
      worker = new Worker(new URL("./mask-worker.js", import.meta.url), { type: "module" });
      worker.addEventListener("message", heard);
    }
    worker.postMessage({ id, mask });
  });
}

/** @param {MessageEvent} event */
function heard(event) {
  const { id, path, error } = event.data;
  const answer = waiting.get(id);
  waiting.delete(id);
  if (!answer) return;
  if (error) answer.failed(new Error(error));
  else answer.done(path);
}

/** @param {MaskMessage} mask @param {Promise<string>} path @returns {Promise<Shape>} */
async function shapeFrom(mask, path) {
  return { box: mask.box, area: mask.area, path: new Path2D(await path) };
}

/** The memory of the last outline, for the next: fresh pages of a large mask cost as much as following its edge. */
const scratch = { pixels: new Uint8Array(0), seen: new Uint8Array(0) };

/** @param {import("./types").MaskMessage} mask */
export async function outlineOf(mask) {
  const [x0, y0, x1, y1] = mask.box;
  if (!mask.data) return "";
  const bytes = await inflate(fromBase64(mask.data));
  const size = (x1 - x0 + 2) * (y1 - y0 + 2);
  if (size > scratch.pixels.length) Object.assign(scratch, { pixels: new Uint8Array(size), seen: new Uint8Array(size) });
  const pixels = toFramedPixels(bytes, x1 - x0, y1 - y0, scratch.pixels.subarray(0, size).fill(0));
  return toPath(pixels, x1 - x0, x0, y0, scratch.seen.subarray(0, size).fill(0));
}

/**
 * Follow every boundary of framed pixels (see runs.js) and write it as "M x y h… v… z" in image pixels.
 * Foreground is kept on the right; pixels that touch only at a corner are separate. Every ring has an edge to the
 * left of some run, so only the beginnings of runs are looked at.
 * @param {Uint8Array} pixels @param {number} width @param {number} x0 @param {number} y0
 * @param {Uint8Array} [seen] zeros as many as pixels: those whose left edge belongs to a ring already
 */
export function toPath(pixels, width, x0, y0, seen = new Uint8Array(pixels.length)) {
  const stride = width + 2;
  const parts = [];
  for (let at = pixels.indexOf(1); at >= 0; at = pixels.indexOf(1, pixels.indexOf(0, at))) {
    if (!seen[at]) parts.push(ring(pixels, seen, stride, at, x0 - 1, y0 - 1));
  }
  return parts.join("");
}

/**
 * One ring from the upper left corner of pixel `start`, whose left edge is the uppermost of a straight line.
 * @param {Uint8Array} pixels @param {Uint8Array} seen @param {number} stride @param {number} start
 * @param {number} dx @param {number} dy
 */
function ring(pixels, seen, stride, start, dx, dy) {
  const steps = [1, stride, -1, -stride]; // east, south, west, north along vertices
  const first = pixels[start - stride] ? 2 : 0;
  let text = `M${(start % stride) + dx} ${Math.floor(start / stride) + dy}`;
  let vertex = start; // upper left corner of the pixel of the same index
  let way = first;
  let length = 0;
  do {
    vertex += steps[way];
    if (way === 3) seen[vertex] = 1;
    length++;
    // The four pixels around a vertex v are v (south-east), v-1, v-stride, v-stride-1.
    const se = pixels[vertex];
    const sw = pixels[vertex - 1];
    const ne = pixels[vertex - stride];
    const nw = pixels[vertex - stride - 1];
    const right = [se, sw, nw, ne][way]; // ahead, on the foreground's side
    const left = [ne, se, sw, nw][way];
    const turn = right ? (left ? 3 : 0) : 1;
    if (turn) {
      text += (way & 1 ? "v" : "h") + (way > 1 ? -length : length);
      way = (way + turn) & 3;
      length = 0;
    }
  } while (vertex !== start || way !== first || length !== 0);
  return text + "z";
}

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
