// The boundary of a mask along its pixel edges, as SVG path text: sharp at every zoom, holes included.
// @ts-check
import { fromBase64, inflate, toFramedPixels } from "./runs.js";

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
