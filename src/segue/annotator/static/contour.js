// The boundary of a mask along its pixel edges, as SVG path text: sharp at every zoom, holes included.
// @ts-check

/**
 * Follow every boundary of framed pixels (see runs.js) and write it as "M x y h… v… z" in image pixels.
 * Foreground is kept on the right; pixels that touch only at a corner are separate.
 * @param {Uint8Array} pixels @param {number} width @param {number} height @param {number} x0 @param {number} y0
 */
export function toPath(pixels, width, height, x0, y0) {
  const stride = width + 2;
  const seen = new Uint8Array(pixels.length); // pixels whose upper edge belongs to a ring already
  const parts = [];
  for (let y = 1; y <= height; y++) {
    const row = y * stride;
    for (let x = 1; x <= width; x++) {
      const at = row + x;
      if (pixels[at] && !pixels[at - stride] && !seen[at]) parts.push(ring(pixels, seen, stride, at, x0 - 1, y0 - 1));
    }
  }
  return parts.join("");
}

/**
 * One ring from the upper edge of pixel `start`, walking east first.
 * @param {Uint8Array} pixels @param {Uint8Array} seen @param {number} stride @param {number} start
 * @param {number} dx @param {number} dy
 */
function ring(pixels, seen, stride, start, dx, dy) {
  const steps = [1, stride, -1, -stride]; // east, south, west, north along vertices
  let text = `M${(start % stride) + dx} ${Math.floor(start / stride) + dy}`;
  let vertex = start; // upper left corner of the pixel of the same index
  let way = 0;
  let length = 0;
  do {
    if (way === 0) seen[vertex] = 1;
    vertex += steps[way];
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
  } while (vertex !== start || way !== 0 || length !== 0);
  return text + "z";
}
