// One turn of a dialogue with nano, as segue.models.nano.turn takes it: which views are looked at, and what is kept.
// @ts-check
import { CLOSE, MULTIPLE, ZOOM, changed, inside, promptArrays, regionView, round, scaleOf, showsAll, wholeFrame } from "./frame.js";
import { boxOf, canvasFrame, copyOf, corrected, emptyCanvas, inView, isCut, lookAround, lookAtChange, onCanvas, paste, windowOf } from "./canvas.js";
import { interpolate, plane, resizeBytes, sigmoid } from "./resize.js";
/** @typedef {import("./frame.js").Frame} Frame */
/** @typedef {import("./frame.js").Prompt} Prompt */
/** @typedef {import("./frame.js").Click} Click */
/** @typedef {import("./frame.js").Corners} Corners */
/** @typedef {import("./resize.js").Plane} Plane */
/** @typedef {import("./resize.js").Photo} Photo */
/** What the network says of pixels, as the engine keeps it. @typedef {Record<string, unknown>} Maps */
/** @typedef {{encode(pixels: Float32Array, w: number, h: number): Promise<Maps>, decode(maps: Maps, clicks: Float32Array, box: Float32Array, previous: Plane): Promise<{logits: Plane, iou: number}>}} Engine */
/** @typedef {{whole: Frame, stored: Photo, maps: Maps, coarse: Maps, coarseFrame: Frame}} Features */
/** `maps` are null where they are those of the whole photo. @typedef {{frame: Frame, maps: Maps | null, canvas: Plane}} Memory */
/** @typedef {{memory: Memory, iou: number}} Answer */

const STORED = 2048, REDECODE_BELOW = 0.6, COARSE_SHARE = 0.25;

/** Everything that is computed once a photo. @param {Engine} engine @param {Photo} photo @returns {Promise<Features>} */
export async function encodePhoto(engine, photo) {
  const whole = wholeFrame(photo.w, photo.h, ZOOM.whole, MULTIPLE), coarseFrame = wholeFrame(photo.w, photo.h, ZOOM.coarse, MULTIPLE);
  /** @type {Corners} */
  const all = [0, 0, photo.w, photo.h];
  const maps = await encodeView(engine, photo, all, whole), coarse = await encodeView(engine, photo, all, coarseFrame);
  const scale = STORED / Math.max(photo.w, photo.h);
  const stored = scale >= 1 ? photo : resizeBytes(photo, all, round(photo.w * scale), round(photo.h * scale));
  return { whole, stored, maps, coarse, coarseFrame };
}

/** @param {Engine} engine @param {Photo} photo @param {Corners} part @param {Frame} view */
function encodeView(engine, photo, part, view) {
  const small = resizeBytes(photo, part, view.w, view.h), size = view.gridW * view.gridH, pixels = new Float32Array(3 * size);
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < view.h; y++) {
      for (let x = 0; x < view.w; x++) pixels[c * size + y * view.gridW + x] = small.data[(c * view.h + y) * view.w + x] / 127.5 - 1;
    }
  }
  return engine.encode(pixels, view.gridW, view.gridH);
}

/** The prompts so far, the last new, on a photo with `features` and the memory of the last turn. */
export class Turn {
  /** @param {Engine} engine @param {Features} features @param {Prompt[]} prompts @param {Memory | null} memory */
  constructor(engine, features, prompts, memory) {
    this.engine = engine;
    this.features = features;
    this.prompts = prompts;
    this.memory = memory;
    this.whole = features.whole;
  }

  /** @returns {Promise<Answer>} */
  async predict() {
    const newest = this.prompts[this.prompts.length - 1];
    if (this.memory && newest.type === "click") return this.correct(newest, this.memory);
    return this.takeOver(await this.decodeWithZoom());
  }

  /** The mask in the memory as the newest click wants it. @param {Click} newest @param {Memory} memory @returns {Promise<Answer>} */
  async correct(newest, memory) {
    const { whole, prompts } = this, { canvas } = memory;
    const late = prompts.length >= CLOSE.from, near = late ? lookAround(newest, canvas, whole) : null;
    if (near) {
      const { fresh, iou } = await this.lookClosely(canvas, near);
      const { result, change } = corrected(canvas, fresh, windowOf(near), newest, whole);
      if (change.any && !isCut(change, near)) return { memory: { ...memory, canvas: result }, iou };
    }
    const answer = this.takeOver(await this.decodeWithZoom()), all = { x0: 0, y0: 0, x1: canvas.w, y1: canvas.h };
    let iou = answer.iou;
    const { result: part, change } = corrected(canvas, answer.memory.canvas, all, newest, whole);
    let result = late ? part : copyOf(answer.memory.canvas);
    const view = lookAtChange(change, newest, whole, ZOOM.expansion);
    const finer = scaleOf(view)[0] > ZOOM.gain * scaleOf(answer.memory.frame)[0];
    if (late && !near && change.any) {
      const look = await this.lookClosely(canvas, view);
      result = corrected(canvas, look.fresh, windowOf(view), newest, whole).result;
      iou = look.iou;
    } else if (!late && finer && change.any && prompts.length > 1) paste(result, (await this.lookClosely(canvas, view)).fresh, windowOf(view));
    return { memory: { ...answer.memory, canvas: result }, iou };
  }

  /** @param {Plane} canvas @param {Frame} view */
  async lookClosely(canvas, view) {
    const clicks = this.prompts.filter((p) => p.type === "click");
    const { logits, iou } = await this.decode(await this.encode(view), view, clicks, inView(canvas, view));
    return { fresh: onCanvas(logits, view), iou };
  }

  /** The first answers of a dialogue replace the mask wherever they looked.
   * @param {{layers: [Plane, Frame][], iou: number, maps: Maps}} answer @returns {Answer} */
  takeOver({ layers, iou, maps }) {
    const frame = layers[layers.length - 1][1], canvas = this.memory ? copyOf(this.memory.canvas) : emptyCanvas(this.whole);
    for (const [layer, view] of this.memory ? layers : layers.slice(-1)) paste(canvas, onCanvas(layer, view), windowOf(view));
    return { memory: { frame, maps: showsAll(frame) ? null : maps, canvas }, iou };
  }

  /** The first view's answer, and that of the region it asks for.
   * @returns {Promise<{layers: [Plane, Frame][], iou: number, maps: Maps}>} */
  async decodeWithZoom() {
    const { frame, maps, coarse } = await this.firstView();
    const first = await this.decode(maps, frame, this.prompts, this.memory && inView(this.memory.canvas, frame));
    const region = regionView(this.whole, boxInPhoto(boxOf(first.logits), frame), this.prompts);
    if (!coarse && !changed(region, frame)) return { layers: [[first.logits, frame]], iou: first.iou, maps };
    const earlier = resample(sigmoid(first.logits), frame, region), finer = await this.mapsOf(region);
    // A coarse pass says how large a thing is, not what it is: its mask would lead the finer answer astray.
    let { logits, iou } = await this.decode(finer, region, this.prompts, coarse ? null : earlier);
    if (coarse && iou < REDECODE_BELOW) {
      const mixed = sigmoid(logits);
      mixed.data.forEach((v, i) => (mixed.data[i] = v + COARSE_SHARE * (earlier.data[i] - v)));
      ({ logits, iou } = await this.decode(finer, region, this.prompts, mixed));
    }
    return { layers: [[first.logits, frame], [logits, region]], iou, maps: finer };
  }

  /** The view in which the newest prompt is answered first; in the beginning a coarse pass. */
  async firstView() {
    const { memory, features } = this;
    if (!memory) return { frame: features.coarseFrame, maps: features.coarse, coarse: true };
    if (inside(this.prompts[this.prompts.length - 1], memory.frame)) return { frame: memory.frame, maps: memory.maps ?? features.maps, coarse: false };
    const box = boxOf(memory.canvas), [sx, sy] = scaleOf(canvasFrame(this.whole));
    const frame = regionView(this.whole, box && [box[0] / sx, box[1] / sy, box[2] / sx, box[3] / sy], this.prompts);
    return { frame, maps: await this.mapsOf(frame), coarse: false };
  }

  /** @param {Frame} view */
  async mapsOf(view) {
    return showsAll(view) ? this.features.maps : this.encode(view);
  }

  /** @param {Frame} view */
  encode(view) {
    const { stored } = this.features, sx = stored.w / view.width, sy = stored.h / view.height;
    const left = Math.trunc(view.x0 * sx), top = Math.trunc(view.y0 * sy);
    return encodeView(this.engine, stored, [left, top, Math.max(left + 1, round(view.x1 * sx)), Math.max(top + 1, round(view.y1 * sy))], view);
  }

  /** One pass of the decoder in one view, and every clicked pixel given its label.
   * @param {Maps} maps @param {Frame} frame @param {Prompt[]} prompts @param {Plane | null} previous */
  async decode(maps, frame, prompts, previous) {
    const { clicks, box } = promptArrays(prompts, frame);
    const answer = await this.engine.decode(maps, clicks, box, previous ?? plane(frame.gridW / 2, frame.gridH / 2));
    enforceClicks(answer.logits, clicks);
    return answer;
  }
}

/** x0 y0 x1 y1 in pixels of the photo of a box in cells of half the grid. @param {Corners | null} box @param {Frame} frame @returns {Corners | null} */
function boxInPhoto(box, frame) {
  if (!box) return null;
  const [sx, sy] = scaleOf(frame);
  return [(box[0] * 2) / sx + frame.x0, (box[1] * 2) / sy + frame.y0, (box[2] * 2) / sx + frame.x0, (box[3] * 2) / sy + frame.y0];
}

/** A map at half the grid of one frame at half the grid of another, 0 outside. @param {Plane} from @param {Frame} frame @param {Frame} other */
function resample(from, frame, other) {
  const [fx, fy] = scaleOf(frame), [ox, oy] = scaleOf(other);
  const px = (/** @type {number} */ x) => ((((x + 0.5) * 2) / ox + other.x0 - frame.x0) * fx) / 2 - 0.5;
  const py = (/** @type {number} */ y) => ((((y + 0.5) * 2) / oy + other.y0 - frame.y0) * fy) / 2 - 0.5;
  return interpolate(from, px, py, other.gridW / 2, other.gridH / 2, true);
}

/** Logits, in place, with every click's label under it. @param {Plane} logits @param {Float32Array} clicks */
export function enforceClicks(logits, clicks, radius = 3, strength = 2) {
  const { w, h, data } = logits, spots = [];
  for (let i = 0; i < clicks.length; i += 3) {
    const x = clicks[i] / 2 - 0.5, y = clicks[i + 1] / 2 - 0.5;
    if (clicks[i + 2] >= 0 && x > -1 && x < w && y > -1 && y < h) spots.push({ x, y, positive: clicks[i + 2] > 0 });
  }
  const force = (/** @type {number} */ i, /** @type {boolean} */ positive) => (data[i] = positive ? Math.max(data[i], strength) : Math.min(data[i], -strength));
  for (const { x, y, positive } of spots) {
    const nearest = data[Math.min(h - 1, Math.max(0, round(y))) * w + Math.min(w - 1, Math.max(0, round(x)))];
    if (nearest > 0 === positive) continue;
    for (let v = Math.max(0, Math.ceil(y - radius)); v <= Math.min(h - 1, y + radius); v++) {
      for (let u = Math.max(0, Math.ceil(x - radius)); u <= Math.min(w - 1, x + radius); u++) {
        if ((u - x) ** 2 + (v - y) ** 2 <= radius * radius) force(v * w + u, positive);
      }
    }
  }
  for (const { x, y, positive } of spots) {
    for (let v = Math.max(0, Math.floor(y)); v < Math.min(h, Math.floor(y) + 2); v++) {
      for (let u = Math.max(0, Math.floor(x)); u < Math.min(w, Math.floor(x) + 2); u++) force(v * w + u, positive);
    }
  }
}
