// Where the photo lies on the screen. Only this module converts between image pixels and canvas pixels.
// @ts-check
/** @typedef {import("./types").Point} Point */

const MARGIN = 28;
const LARGEST = 64;

/** Scale and offset of the photo, in CSS pixels; `ratio` device pixels make one of them. */
export class Viewport {
  constructor() {
    this.width = 1;
    this.height = 1;
    this.ratio = 1;
    this.image = { width: 1, height: 1 };
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.fitted = true;
  }

  /** @param {number} width @param {number} height @param {number} ratio */
  resize(width, height, ratio) {
    const centre = this.toImage({ x: this.width / 2, y: this.height / 2 });
    Object.assign(this, { width, height, ratio });
    if (this.fitted) return this.fit();
    this.x = width / 2 - centre.x * this.scale;
    this.y = height / 2 - centre.y * this.scale;
    this.hold();
  }

  get fitScale() {
    const room = Math.min((this.width - 2 * MARGIN) / this.image.width, (this.height - 2 * MARGIN - 40) / this.image.height);
    return Math.max(0.01, Math.min(room, 8));
  }

  /** Show the whole photo, a little above the middle so that the tools stay off it. */
  fit() {
    this.fitted = true;
    this.scale = this.fitScale;
    this.x = (this.width - this.image.width * this.scale) / 2;
    this.y = (this.height - 44 - this.image.height * this.scale) / 2;
  }

  /** @param {number} factor @param {Point} about on the screen */
  zoom(factor, about) {
    const scale = Math.max(Math.min(this.fitScale, 1) / 2, Math.min(LARGEST, this.scale * factor));
    const fixed = this.toImage(about);
    this.scale = scale;
    this.x = about.x - fixed.x * scale;
    this.y = about.y - fixed.y * scale;
    this.fitted = false;
    this.hold();
  }

  /** @param {number} dx @param {number} dy */
  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.fitted = false;
    this.hold();
  }

  /** Keep a part of the photo in sight. */
  hold() {
    const { width, height } = this.image;
    const edge = 80;
    this.x = Math.min(this.width - edge, Math.max(edge - width * this.scale, this.x));
    this.y = Math.min(this.height - edge, Math.max(edge - height * this.scale, this.y));
  }

  /** @param {Point} p @returns {Point} */
  toImage(p) {
    return { x: (p.x - this.x) / this.scale, y: (p.y - this.y) / this.scale };
  }

  /** @param {Point} p @returns {Point} */
  toScreen(p) {
    return { x: p.x * this.scale + this.x, y: p.y * this.scale + this.y };
  }

  /** @param {Point} p in image pixels */
  holds(p) {
    return p.x >= 0 && p.y >= 0 && p.x < this.image.width && p.y < this.image.height;
  }

  /** Draw in image pixels from now on. @param {CanvasRenderingContext2D} context */
  apply(context) {
    const s = this.scale * this.ratio;
    context.setTransform(s, 0, 0, s, this.x * this.ratio, this.y * this.ratio);
  }
}
