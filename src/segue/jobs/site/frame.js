// How nano sees a photo: the arithmetic of segue.core.frame and of the views that segue.models.nano.views chooses.
// @ts-check

/** A crop (x0 y0 x1 y1, exclusive) of a photo (width, height) shown at w x h pixels and padded to gridW x gridH.
 * @typedef {{width: number, height: number, x0: number, y0: number, x1: number, y1: number, w: number, h: number, gridW: number, gridH: number}} Frame */
/** @typedef {{type: "click", x: number, y: number, positive: boolean}} Click */
/** @typedef {{type: "box", x0: number, y0: number, x1: number, y1: number}} Box */
/** @typedef {Click | Box} Prompt */
/** @typedef {[number, number, number, number]} Corners */

export const MULTIPLE = 64; // of the sides of every grid
export const ZOOM = { whole: 384, longest: 320, coarse: 256, expansion: 1.4, gain: 1.25, minCrop: 0.25, recompute: 0.5 };
export const CLOSE = { longest: 256, minCrop: 0.12, from: 6, reach: 5, farthest: 0.12, border: 0.02 };

/** To the nearest whole number, halves to the even one, as Python rounds. @param {number} value */
export function round(value) {
  const low = Math.floor(value);
  return value - low === 0.5 ? low + (low % 2 ? 1 : 0) : Math.round(value);
}

/** @param {number} value @param {number} multiple */
const up = (value, multiple) => Math.ceil(value / multiple) * multiple;

/** The whole photo, its longer side at `longest` pixels. @param {number} width @param {number} height @param {number} longest */
export function wholeFrame(width, height, longest, multiple = 1, enlarge = true) {
  let scale = longest / Math.max(width, height);
  if (!enlarge) scale = Math.min(scale, 1);
  const w = Math.max(1, Math.floor(width * scale + 0.5)), h = Math.max(1, Math.floor(height * scale + 0.5));
  return { width, height, x0: 0, y0: 0, x1: width, y1: height, w, h, gridW: up(w, multiple), gridH: up(h, multiple) };
}

/** Scale along x and y: pixels of the grid per pixel of the photo. @param {Frame} frame @returns {[number, number]} */
export const scaleOf = (frame) => [frame.w / (frame.x1 - frame.x0), frame.h / (frame.y1 - frame.y0)];

/** @param {Frame} frame */
export const showsAll = (frame) => !frame.x0 && !frame.y0 && frame.x1 === frame.width && frame.y1 === frame.height;

/** `crop` with its longer side at `longest` pixels if that enlarges by `gain`, else the whole view.
 * @param {Frame} whole @param {Corners} crop @param {number} longest @param {number} gain @returns {Frame} */
export function zoomed(whole, crop, longest, gain) {
  const [x0, y0, x1, y1] = crop, scale = longest / Math.max(x1 - x0, y1 - y0);
  if (scale < gain * Math.max(...scaleOf(whole))) return whole;
  const w = Math.max(1, round((x1 - x0) * scale)), h = Math.max(1, round((y1 - y0) * scale));
  return { ...whole, x0, y0, x1, y1, w, h, gridW: up(w, MULTIPLE), gridH: up(h, MULTIPLE) };
}

/** A box made `expansion` times larger, each side at least `least` pixels and a third of the other, inside the photo.
 * @param {Corners} box @param {number} expansion @param {number} least @param {Frame} whole @returns {Corners} */
export function expanded(box, expansion, least, whole) {
  const cx = (box[0] + box[2]) / 2, cy = (box[1] + box[3]) / 2;
  let across = Math.max((box[2] - box[0]) * expansion, least), down = Math.max((box[3] - box[1]) * expansion, least);
  const third = Math.max(across, down) / 3;
  across = Math.max(across, third);
  down = Math.max(down, third);
  return [
    Math.max(0, Math.floor(cx - across / 2)), Math.max(0, Math.floor(cy - down / 2)),
    Math.min(whole.width, Math.ceil(cx + across / 2)), Math.min(whole.height, Math.ceil(cy + down / 2)),
  ];
}

/** The box around all `boxes`. @param {Corners[]} boxes @returns {Corners} */
export const around = (boxes) => [
  Math.min(...boxes.map((b) => b[0])), Math.min(...boxes.map((b) => b[1])),
  Math.max(...boxes.map((b) => b[2])), Math.max(...boxes.map((b) => b[3])),
];

/** The view around the mask's box, the positive clicks and the boxes. @param {Frame} whole @param {Corners | null} masked @param {Prompt[]} prompts */
export function regionView(whole, masked, prompts) {
  const boxes = masked ? [masked] : [];
  for (const p of prompts) {
    if (p.type === "box") boxes.push([p.x0, p.y0, p.x1, p.y1]);
    else if (p.positive) boxes.push([p.x, p.y, p.x + 1, p.y + 1]);
  }
  if (!boxes.length) return whole;
  const least = ZOOM.minCrop * Math.max(whole.width, whole.height);
  return zoomed(whole, expanded(around(boxes), ZOOM.expansion, least, whole), ZOOM.longest, ZOOM.gain);
}

/** Whether the wanted region differs enough from the one in view. @param {Frame} a @param {Frame} b */
export function changed(a, b) {
  const across = Math.max(0, Math.min(a.x1, b.x1) - Math.max(a.x0, b.x0));
  const both = across * Math.max(0, Math.min(a.y1, b.y1) - Math.max(a.y0, b.y0));
  const either = (a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - both;
  return both / either < ZOOM.recompute;
}

/** Whether the newest prompt can be answered in this view. @param {Prompt} p @param {Frame} f */
export function inside(p, f) {
  if (p.type === "click") return f.x0 <= p.x && p.x < f.x1 && f.y0 <= p.y && p.y < f.y1;
  return f.x0 <= p.x0 && p.x1 <= f.x1 && f.y0 <= p.y0 && p.y1 <= f.y1;
}

/** Prompts as the decoder takes them, in pixels of the grid: clicks (n, 3) and the last box (4). @param {Prompt[]} prompts @param {Frame} frame */
export function promptArrays(prompts, frame) {
  const [sx, sy] = scaleOf(frame);
  const clicks = /** @type {Click[]} */ (prompts.filter((p) => p.type === "click"));
  const table = new Float32Array(3 * Math.max(1, clicks.length)).fill(-1), box = new Float32Array(4);
  clicks.forEach((c, i) => {
    table.set([(Math.floor(c.x) + 0.5 - frame.x0) * sx, (Math.floor(c.y) + 0.5 - frame.y0) * sy, Number(c.positive)], 3 * i);
  });
  const last = /** @type {Box | undefined} */ (prompts.filter((p) => p.type === "box").at(-1));
  if (last) box.set([(last.x0 - frame.x0) * sx, (last.y0 - frame.y0) * sy, (last.x1 - frame.x0) * sx, (last.y1 - frame.y0) * sy]);
  return { clicks: table, box };
}
