// nano's mask so far over the whole photo, on which a correction changes what it is connected to: the arithmetic of
// segue.models.nano.canvas and close_look.
// @ts-check
import { CLOSE, expanded, round, scaleOf, wholeFrame, zoomed } from "./frame.js";
import { interpolate, plane, resizeArea, resizeLinear } from "./resize.js";
/** @typedef {import("./frame.js").Frame} Frame */
/** @typedef {import("./frame.js").Click} Click */
/** @typedef {import("./resize.js").Plane} Plane */
/** Cells x0 y0 to x1 y1, exclusive. @typedef {{x0: number, y0: number, x1: number, y1: number}} Cells */

const CANVAS = 1024, OUTSIDE = -16, FIRM = 0.1, STRENGTH = 2;

/** @param {Frame} whole */
export const canvasFrame = (whole) => wholeFrame(whole.width, whole.height, CANVAS, 1, false);

/** @param {Frame} whole */
export function emptyCanvas(whole) {
  const frame = canvasFrame(whole);
  return plane(frame.w, frame.h, OUTSIDE);
}

/** @param {Plane} canvas @returns {Plane} */
export const copyOf = (canvas) => ({ ...canvas, data: canvas.data.slice() });

/** The part of the canvas that `view` shows, to the nearest cell. @param {Frame} view @returns {Cells} */
export function windowOf(view) {
  const canvas = canvasFrame(view), [sx, sy] = scaleOf(canvas);
  const x0 = Math.min(round(view.x0 * sx), canvas.w - 1), y0 = Math.min(round(view.y0 * sy), canvas.h - 1);
  const x1 = Math.min(canvas.w, round(view.x1 * sx)), y1 = Math.min(canvas.h, round(view.y1 * sy));
  return { x0, y0, x1: Math.max(x1, x0 + 1), y1: Math.max(y1, y0 + 1) };
}

/** A view's logits resampled to its window. @param {Plane} logits @param {Frame} view @returns {Plane} */
export function onCanvas(logits, view) {
  const cells = windowOf(view), [sx, sy] = scaleOf(canvasFrame(view)), [gx, gy] = scaleOf(view);
  const across = gx / sx / 2, down = gy / sy / 2;
  const seen = cut(logits, { x0: 0, y0: 0, x1: Math.ceil(view.w / 2), y1: Math.ceil(view.h / 2) });
  const px = (/** @type {number} */ x) => (x + cells.x0 + 0.5) * across - (view.x0 * gx) / 2 - 0.5;
  const py = (/** @type {number} */ y) => (y + cells.y0 + 0.5) * down - (view.y0 * gy) / 2 - 0.5;
  const made = interpolate(seen, px, py, cells.x1 - cells.x0, cells.y1 - cells.y0);
  made.data.forEach((v, i) => (made.data[i] = v > 0 ? Math.max(v, FIRM) : Math.min(v, -FIRM)));
  return made;
}

/** The probability of the canvas at half the grid of `view`, 0 in its padding. @param {Plane} canvas @param {Frame} view @returns {Plane} */
export function inView(canvas, view) {
  const part = cut(canvas, windowOf(view));
  part.data.forEach((v, i) => (part.data[i] = 1 / (1 + Math.exp(-v))));
  const w = Math.max(1, round(view.w / 2)), h = Math.max(1, round(view.h / 2));
  const shown = w < part.w ? resizeArea(part, w, h) : resizeLinear(part, w, h);
  const made = plane(view.gridW / 2, view.gridH / 2);
  for (let y = 0; y < Math.min(h, made.h); y++) made.data.set(shown.data.subarray(y * w, y * w + Math.min(w, made.w)), y * made.w);
  return made;
}

/** @param {Plane} from @param {Cells} cells @returns {Plane} */
export function cut(from, { x0, y0, x1, y1 }) {
  const made = plane(x1 - x0, y1 - y0);
  for (let y = y0; y < y1; y++) made.data.set(from.data.subarray(y * from.w + x0, y * from.w + x1), (y - y0) * made.w);
  return made;
}

/** Put a part back, in place. @param {Plane} canvas @param {Plane} part @param {Cells} cells */
export function paste(canvas, part, { x0, y0 }) {
  for (let y = 0; y < part.h; y++) canvas.data.set(part.data.subarray(y * part.w, (y + 1) * part.w), (y + y0) * canvas.w + x0);
}

/** The box of what is positive: x0 y0 x1 y1 in cells, or null. @param {Plane} logits @returns {[number, number, number, number] | null} */
export function boxOf({ w, h, data }) {
  let x0 = w, y0 = h, x1 = 0, y1 = 0;
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      if (data[i] <= 0) continue;
      if (x < x0) x0 = x;
      if (x >= x1) x1 = x + 1;
      if (y < y0) y0 = y;
      y1 = y + 1;
    }
  }
  return x1 ? [x0, y0, x1, y1] : null;
}

/** The cells that the clicked pixel is interpolated from. @param {Click} click @param {Frame} whole @returns {Cells} */
export function spot(click, whole) {
  const canvas = canvasFrame(whole), [sx, sy] = scaleOf(canvas);
  const cx = (Math.floor(click.x) + 0.5) * sx - 0.5, cy = (Math.floor(click.y) + 0.5) * sy - 0.5;
  const x0 = Math.max(0, Math.floor(cx)), y0 = Math.max(0, Math.floor(cy));
  return { x0, y0, x1: Math.min(canvas.w - 1, Math.ceil(cx)) + 1, y1: Math.min(canvas.h - 1, Math.ceil(cy)) + 1 };
}

/** Give cells, in place, the click's label. @param {Plane} logits @param {Cells} cells @param {boolean} positive */
function mark(logits, cells, positive) {
  for (let y = cells.y0; y < Math.min(cells.y1, logits.h); y++) {
    for (let x = cells.x0; x < Math.min(cells.x1, logits.w); x++) {
      const i = y * logits.w + x;
      logits.data[i] = positive ? Math.max(logits.data[i], STRENGTH) : Math.min(logits.data[i], -STRENGTH);
    }
  }
}

/** The canvas with what the click changes in `part` of it, where `fresh` is the answer; and that change, a byte a cell of the part.
 * @param {Plane} canvas @param {Plane} fresh @param {Cells} part @param {Click} click @param {Frame} whole */
export function corrected(canvas, fresh, part, click, whole) {
  const cells = spot(click, whole), answer = copyOf(fresh), before = cut(canvas, part);
  const here = { x0: Math.max(0, cells.x0 - part.x0), y0: Math.max(0, cells.y0 - part.y0), x1: Math.max(0, cells.x1 - part.x0), y1: Math.max(0, cells.y1 - part.y0) };
  mark(answer, here, click.positive);
  const { w, h } = answer, change = new Uint8Array(w * h), queue = /** @type {number[]} */ ([]);
  const differs = (/** @type {number} */ i) => before.data[i] > 0 !== answer.data[i] > 0;
  const visit = (/** @type {number} */ x, /** @type {number} */ y) => {
    const i = y * w + x;
    if (x < 0 || y < 0 || x >= w || y >= h || change[i] || !differs(i)) return;
    change[i] = 1;
    queue.push(i);
  };
  for (let y = here.y0; y < here.y1; y++) for (let x = here.x0; x < here.x1; x++) visit(x, y);
  const any = queue.length > 0;
  while (queue.length) {
    const i = /** @type {number} */ (queue.pop()), x = i % w, y = (i - x) / w;
    for (let dy = -1; dy <= 1; dy++) for (let dx = -1; dx <= 1; dx++) visit(x + dx, y + dy);
  }
  const result = copyOf(canvas);
  change.forEach((v, i) => { if (v) before.data[i] = answer.data[i]; });
  paste(result, before, part);
  mark(result, cells, click.positive);
  return { result, change: { w, h, data: change, any } };
}

/** How far the click is from where the mask has its label already: a chamfer distance (Borgefors 1986) in pixels of the photo.
 * @param {Plane} canvas @param {Click} click @param {Frame} whole @param {number} most */
export function distanceToLabel(canvas, click, whole, most) {
  const [sx] = scaleOf(canvasFrame(whole)), at = spot(click, whole), reach = Math.ceil(most * sx) + 1;
  const left = Math.max(0, at.x0 - reach), top = Math.max(0, at.y0 - reach);
  const part = cut(canvas, { x0: left, y0: top, x1: Math.min(canvas.w, at.x0 + reach + 1), y1: Math.min(canvas.h, at.y0 + reach + 1) });
  const { w, h } = part, far = 1e6, d = new Float64Array(w * h);
  let any = false;
  part.data.forEach((v, i) => { d[i] = v > 0 === click.positive ? 0 : far; any ||= !d[i]; });
  if (!any) return most;
  const steps = [[-1, 0, 1], [0, -1, 1], [-1, -1, 1.4], [1, -1, 1.4], [-2, -1, 2.1969], [2, -1, 2.1969], [-1, -2, 2.1969], [1, -2, 2.1969]];
  for (const sign of [1, -1]) {
    for (let n = 0; n < w * h; n++) {
      const i = sign > 0 ? n : w * h - 1 - n, x = i % w, y = (i - x) / w;
      for (const [dx, dy, cost] of steps) {
        const u = x + sign * dx, v = y + sign * dy;
        if (u >= 0 && v >= 0 && u < w && v < h) d[i] = Math.min(d[i], d[v * w + u] + cost);
      }
    }
  }
  return Math.min(most, d[(at.y0 - top) * w + at.x0 - left] / sx);
}

/** The view that a correction is first looked for in; null where the label is there already or far away.
 * @param {Click} click @param {Plane} canvas @param {Frame} whole */
export function lookAround(click, canvas, whole) {
  const longest = Math.max(whole.width, whole.height), most = CLOSE.farthest * longest;
  const distance = distanceToLabel(canvas, click, whole, most);
  if (!(distance > 0 && distance < most)) return null;
  const least = Math.max(CLOSE.minCrop * longest, CLOSE.reach * distance);
  return zoomed(whole, expanded([click.x, click.y, click.x + 1, click.y + 1], 1, least, whole), CLOSE.longest, 0);
}

/** The view around a change of the canvas and the click. @param {{w: number, h: number, data: Uint8Array}} change @param {Click} click @param {Frame} whole @param {number} expansion */
export function lookAtChange(change, click, whole, expansion) {
  const [sx, sy] = scaleOf(canvasFrame(whole)), box = boxOf({ ...change, data: Float32Array.from(change.data) });
  /** @type {[number, number, number, number]} */
  let all = [click.x, click.y, click.x + 1, click.y + 1];
  if (box) all = [Math.min(all[0], box[0] / sx), Math.min(all[1], box[1] / sy), Math.max(all[2], box[2] / sx), Math.max(all[3], box[3] / sy)];
  return zoomed(whole, expanded(all, expansion, CLOSE.minCrop * Math.max(whole.width, whole.height), whole), CLOSE.longest, 0);
}

/** Whether a change comes so near the border of its view that it may go on outside. @param {{w: number, h: number, data: Uint8Array}} change @param {Frame} view */
export function isCut({ w, h, data }, view) {
  const part = windowOf(view), canvas = canvasFrame(view), edge = Math.max(1, round(CLOSE.border * Math.max(w, h)));
  const open = [part.y0 > 0, part.y1 < canvas.h, part.x0 > 0, part.x1 < canvas.w];
  return data.some((v, i) => {
    if (!v) return false;
    const x = i % w, y = (i - x) / w;
    return (open[0] && y < edge) || (open[1] && y >= h - edge) || (open[2] && x < edge) || (open[3] && x >= w - edge);
  });
}
