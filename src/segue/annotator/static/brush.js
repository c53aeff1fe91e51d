// The brush as exact pixels: a pixel is painted when its centre lies within the radius of the stroke.
// @ts-check
import { deflate, toBase64, toPath, toRuns, toVarints } from "./masks.js";
/** @typedef {import("./types").Point} Point */
/** @typedef {import("./types").Box} Box */

/** A stroke that grows with the pointer; its pixels are the ones that the cursor showed. */
export class Stroke {
  /** @param {number} width @param {number} height of the image @param {number} radius in image pixels */
  constructor(width, height, radius) {
    this.width = width;
    this.height = height;
    this.radius = radius;
    this.pixels = new Uint8Array(width * height);
    /** @type {Box} */
    this.box = [width, height, 0, 0];
    /** @type {Point | null} */
    this.last = null;
  }

  /** Paint from the last point to this one; the box (x0, y0, x1, y1) that may have changed. @param {Point} point */
  to(point) {
    const from = this.last ?? point;
    this.last = point;
    const r = this.radius;
    const x0 = Math.max(0, Math.floor(Math.min(from.x, point.x) - r));
    const y0 = Math.max(0, Math.floor(Math.min(from.y, point.y) - r));
    const x1 = Math.min(this.width, Math.ceil(Math.max(from.x, point.x) + r) + 1);
    const y1 = Math.min(this.height, Math.ceil(Math.max(from.y, point.y) + r) + 1);
    for (let y = y0; y < y1; y++) {
      for (let x = x0; x < x1; x++) {
        if (near(x + 0.5, y + 0.5, from, point, r)) {
          this.pixels[y * this.width + x] = 1;
          this.grow(x, y);
        }
      }
    }
    /** @type {Box} */
    const changed = [x0, y0, Math.max(x0, x1), Math.max(y0, y1)];
    return changed;
  }

  /** The pixels whose centre lies inside a closed line, an odd number of times around. @param {Point[]} points */
  fill(points) {
    for (let y = 0; y < this.height; y++) {
      const centre = y + 0.5;
      const crossings = [];
      for (let i = 0; i < points.length; i++) {
        const a = points[i];
        const b = points[(i + 1) % points.length];
        if (a.y > centre !== b.y > centre) crossings.push(a.x + ((centre - a.y) * (b.x - a.x)) / (b.y - a.y));
      }
      crossings.sort((a, b) => a - b);
      for (let i = 0; i + 1 < crossings.length; i += 2) {
        const last = Math.min(this.width, Math.ceil(crossings[i + 1] - 0.5));
        for (let x = Math.max(0, Math.ceil(crossings[i] - 0.5)); x < last; x++) {
          this.pixels[y * this.width + x] = 1;
          this.grow(x, y);
        }
      }
    }
  }

  /** @param {number} x @param {number} y */
  grow(x, y) {
    const box = this.box;
    if (x < box[0]) box[0] = x;
    if (y < box[1]) box[1] = y;
    if (x >= box[2]) box[2] = x + 1;
    if (y >= box[3]) box[3] = y + 1;
  }

  get empty() {
    return this.box[2] <= this.box[0];
  }

  /** Pixels inside the box, inside a frame of one empty pixel. */
  framed() {
    const [x0, y0, x1, y1] = this.box;
    const stride = x1 - x0 + 2;
    const framed = new Uint8Array(stride * (y1 - y0 + 2));
    for (let y = y0; y < y1; y++) {
      framed.set(this.pixels.subarray(y * this.width + x0, y * this.width + x1), (y - y0 + 1) * stride + 1);
    }
    return framed;
  }

  /** The stroke's outline, to draw. */
  path() {
    const [x0, y0, x1] = this.box;
    return this.empty ? new Path2D() : new Path2D(toPath(this.framed(), x1 - x0, x0, y0));
  }

  /** The stroke as the server reads it. @returns {Promise<import("./types").Runs>} */
  async runs() {
    const [x0, y0, x1, y1] = this.box;
    const inside = new Uint8Array((x1 - x0) * (y1 - y0));
    for (let y = y0; y < y1; y++) {
      inside.set(this.pixels.subarray(y * this.width + x0, y * this.width + x1), (y - y0) * (x1 - x0));
    }
    return { box: this.box, data: toBase64(await deflate(toVarints(toRuns(inside)))) };
  }
}

/** The outline of what one press at `point` would paint. @param {Point} point @param {number} radius */
export function footprint(point, radius) {
  const size = 2 * Math.ceil(radius) + 4;
  const x0 = Math.floor(point.x - radius) - 1;
  const y0 = Math.floor(point.y - radius) - 1;
  const stroke = new Stroke(size, size, radius);
  stroke.to({ x: point.x - x0, y: point.y - y0 });
  if (stroke.empty) return new Path2D();
  const [a, b, c] = stroke.box;
  return new Path2D(toPath(stroke.framed(), c - a, x0 + a, y0 + b));
}

/** @param {number} x @param {number} y @param {Point} a @param {Point} b @param {number} radius */
function near(x, y, a, b, radius) {
  const dx = b.x - a.x;
  const dy = b.y - a.y;
  const square = dx * dx + dy * dy;
  const t = square ? Math.max(0, Math.min(1, ((x - a.x) * dx + (y - a.y) * dy) / square)) : 0;
  const ex = x - a.x - t * dx;
  const ey = y - a.y - t * dy;
  return ex * ex + ey * ey <= radius * radius;
}
