// Resampling as segue.core.arrays and OpenCV do it: bytes with antialiasing, logits by interpolation or by area.
// @ts-check

/** One plane of numbers. @typedef {{w: number, h: number, data: Float32Array}} Plane */
/** Colours, plane by plane. @typedef {{w: number, h: number, data: Uint8Array}} Photo */
/** For each output its first input, then the weights of those that follow. @typedef {{first: Int32Array, weights: Float64Array, count: number}} Taps */

/** @param {number} w @param {number} h @returns {Plane} */
export const plane = (w, h, fill = 0) => ({ w, h, data: new Float32Array(w * h).fill(fill) });

/** Weights of 16 bits, antialiased where it shrinks: Pillow's and PyTorch's. @param {number} before @param {number} after @param {boolean} shrinks @returns {Taps} */
function byteTaps(before, after, shrinks) {
  const scale = before / after, reach = shrinks ? Math.max(scale, 1) : 1;
  const count = Math.ceil(2 * reach) + 2, first = new Int32Array(after), weights = new Float64Array(after * count);
  for (let i = 0; i < after; i++) {
    const centre = scale * (i + 0.5), low = Math.max(0, Math.trunc(centre - reach + 0.5));
    const high = Math.min(before, Math.trunc(centre + reach + 0.5));
    let sum = 0;
    for (let j = low; j < high; j++) sum += weights[i * count + j - low] = Math.max(0, 1 - Math.abs((j + 0.5 - centre) / reach));
    for (let j = 0; j < high - low; j++) weights[i * count + j] = Math.fround(weights[i * count + j] / sum);
    first[i] = low;
  }
  const most = weights.reduce((a, b) => Math.max(a, b), 0);
  let bits = 0;
  while (bits < 22 && Math.trunc(0.5 + most * 2 ** (bits + 1)) < 2 ** 15) bits++;
  for (let i = 0; i < weights.length; i++) weights[i] = Math.round(weights[i] * 2 ** bits) / 2 ** bits;
  return { first, weights, count };
}

/** The part x0 y0 x1 y1 of a photo, resized to w x h with antialiasing.
 * @param {Photo} photo @param {[number, number, number, number]} part @param {number} w @param {number} h @returns {Photo} */
export function resizeBytes(photo, [x0, y0, x1, y1], w, h) {
  const width = x1 - x0, height = y1 - y0, shrinks = w < width || h < height;
  const made = { w, h, data: new Uint8Array(3 * w * h) }, between = new Uint8Array(w * height);
  const across = byteTaps(width, w, shrinks), down = byteTaps(height, h, shrinks);
  for (let c = 0; c < 3; c++) {
    const from = c * photo.w * photo.h, to = c * w * h;
    for (let y = 0; y < height; y++) {
      const row = from + (y + y0) * photo.w + x0;
      if (w === width) between.set(photo.data.subarray(row, row + w), y * w);
      else for (let x = 0; x < w; x++) {
        let sum = 0.5;
        for (let j = 0, at = across.first[x]; j < across.count && at < width; j++, at++) sum += across.weights[x * across.count + j] * photo.data[row + at];
        between[y * w + x] = sum;
      }
    }
    if (h === height) made.data.set(between, to);
    else for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        let sum = 0.5;
        for (let j = 0, at = down.first[y]; j < down.count && at < height; j++, at++) sum += down.weights[y * down.count + j] * between[at * w + x];
        made.data[to + y * w + x] = sum;
      }
    }
  }
  return made;
}

/** Mix rows and columns at real places; beyond the ends the nearest cell or, with `fade`, nothing.
 * @param {Plane} from @param {(x: number) => number} px @param {(y: number) => number} py @param {number} w @param {number} h @returns {Plane} */
export function interpolate(from, px, py, w, h, fade = false) {
  const made = plane(w, h), columns = new Int32Array(2 * w), shares = new Float64Array(2 * w);
  const part = (/** @type {number} */ place, /** @type {number} */ length) => {
    const low = Math.floor(place), share = place - low;
    const there = (/** @type {number} */ i) => (i >= 0 && i < length ? 1 : 0);
    const clamp = (/** @type {number} */ i) => Math.min(length - 1, Math.max(0, i));
    return [clamp(low), clamp(low + 1), fade ? (1 - share) * there(low) : 1 - share, fade ? share * there(low + 1) : share];
  };
  for (let x = 0; x < w; x++) {
    const [a, b, wa, wb] = part(px(x), from.w);
    columns.set([a, b], 2 * x);
    shares.set([wa, wb], 2 * x);
  }
  for (let y = 0; y < h; y++) {
    const [a, b, wa, wb] = part(py(y), from.h), upper = a * from.w, lower = b * from.w;
    for (let x = 0; x < w; x++) {
      const l = columns[2 * x], r = columns[2 * x + 1], wl = shares[2 * x], wr = shares[2 * x + 1];
      made.data[y * w + x] = wa * (wl * from.data[upper + l] + wr * from.data[upper + r]) + wb * (wl * from.data[lower + l] + wr * from.data[lower + r]);
    }
  }
  return made;
}

/** Bilinear, areas kept, no antialiasing. @param {Plane} from @param {number} w @param {number} h @returns {Plane} */
export function resizeLinear(from, w, h) {
  if (w === from.w && h === from.h) return from;
  const sx = from.w / w, sy = from.h / h;
  return interpolate(from, (x) => (x + 0.5) * sx - 0.5, (y) => (y + 0.5) * sy - 0.5, w, h);
}

/** Means over areas, for shrinking. @param {Plane} from @param {number} w @param {number} h @returns {Plane} */
export function resizeArea(from, w, h) {
  if (w > from.w || h > from.h) return resizeLinear(from, w, h);
  const between = plane(w, from.h), made = plane(w, h);
  overlaps(from.w, w, (x, i, share) => { for (let y = 0; y < from.h; y++) between.data[y * w + x] += share * from.data[y * from.w + i]; });
  overlaps(from.h, h, (y, i, share) => { for (let x = 0; x < w; x++) made.data[y * w + x] += share * between.data[i * w + x]; });
  return made;
}

/** @param {number} before @param {number} after @param {(output: number, input: number, share: number) => void} add */
function overlaps(before, after, add) {
  const scale = before / after;
  for (let o = 0; o < after; o++) {
    const low = o * scale, high = Math.min(before, low + scale);
    for (let i = Math.floor(low); i < high; i++) {
      const share = Math.min(i + 1, high) - Math.max(i, low);
      if (share > 1e-6) add(o, i, share / (high - low));
    }
  }
}

/** @param {Plane} logits @returns {Plane} */
export function sigmoid(logits) {
  return { w: logits.w, h: logits.h, data: logits.data.map((v) => 1 / (1 + Math.exp(-v))) };
}
