// The photo, its masks and its prompts on one canvas, zoomed and moved.
// @ts-check
/** @typedef {import("./frame.js").Prompt} Prompt */
/** @typedef {{colour: [number, number, number], prompts: Prompt[], paint: HTMLCanvasElement | null, any: boolean, redo: number}} Item */

const canvas = /** @type {HTMLCanvasElement} */ (document.getElementById("canvas"));
const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
const MARGIN = 28, BELOW = 84;

/** `scale` CSS pixels a photo pixel; the photo's corner at x, y.
 * @type {{photo: ImageBitmap | null, scale: number, x: number, y: number, items: Item[], active: number, band: [number, number, number, number] | null}} */
export const view = { photo: null, scale: 1, x: 0, y: 0, items: [], active: 0, band: null };

/** The largest scale that shows all. */
function fitting() {
  const { clientWidth: w, clientHeight: h } = canvas, photo = view.photo;
  return photo ? Math.min((w - 2 * MARGIN) / photo.width, (h - MARGIN - BELOW) / photo.height, 8) : 1;
}

export function fit() {
  if (!view.photo) return;
  view.scale = Math.max(0.01, fitting());
  view.x = (canvas.clientWidth - view.photo.width * view.scale) / 2;
  view.y = MARGIN + (canvas.clientHeight - MARGIN - BELOW - view.photo.height * view.scale) / 2;
  draw();
}

/** @param {number} factor */
export function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const scale = Math.min(32, Math.max(Math.min(fitting(), 1) / 2, view.scale * factor)), by = scale / view.scale;
  view.x = x - (x - view.x) * by;
  view.y = y - (y - view.y) * by;
  view.scale = scale;
  draw();
}

/** A place in the window in pixels of the photo. @param {{clientX: number, clientY: number}} event @returns {[number, number]} */
export function place({ clientX, clientY }) {
  const box = canvas.getBoundingClientRect();
  return [(clientX - box.x - view.x) / view.scale, (clientY - box.y - view.y) / view.scale];
}

/** A mask as colour: a tint inside, a firm line along the edge. @param {{w: number, h: number, mask: Uint8Array}} cells @param {[number, number, number]} colour */
export function tinted({ w, h, mask }, colour) {
  const made = Object.assign(document.createElement("canvas"), { width: w, height: h }), image = new ImageData(w, h);
  const words = new Uint32Array(image.data.buffer), [r, g, b] = colour;
  const inner = (118 << 24) | (b << 16) | (g << 8) | r, edge = (255 << 24) | (b << 16) | (g << 8) | r;
  for (let y = 0, i = 0; y < h; y++) {
    for (let x = 0; x < w; x++, i++) {
      if (!mask[i]) continue;
      const within = x > 0 && y > 0 && x < w - 1 && y < h - 1 && mask[i - 1] && mask[i + 1] && mask[i - w] && mask[i + w];
      words[i] = within ? inner : edge;
    }
  }
  /** @type {CanvasRenderingContext2D} */ (made.getContext("2d")).putImageData(image, 0, 0);
  return made;
}

export function draw() {
  const ratio = devicePixelRatio || 1, w = Math.round(canvas.clientWidth * ratio), h = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, w, h);
  const { photo, scale, x, y } = view;
  if (!photo) return;
  const width = photo.width * scale, height = photo.height * scale;
  context.imageSmoothingEnabled = scale < 3;
  context.imageSmoothingQuality = "high";
  context.drawImage(photo, x, y, width, height);
  for (const { paint } of view.items) if (paint) context.drawImage(paint, x, y, width, height);
  for (const prompt of view.items[view.active]?.prompts ?? []) {
    if (prompt.type === "click") dot(x + prompt.x * scale, y + prompt.y * scale, prompt.positive);
    else frame([prompt.x0, prompt.y0, prompt.x1, prompt.y1]);
  }
  if (view.band) frame(view.band);
}

/** @param {number} x @param {number} y @param {boolean} positive */
function dot(x, y, positive) {
  context.beginPath();
  context.arc(x, y, 6.5, 0, 2 * Math.PI);
  context.fillStyle = positive ? "#16a34a" : "#e5373f";
  context.fill();
  context.lineWidth = 2;
  context.strokeStyle = "#fff";
  context.stroke();
  context.beginPath();
  context.moveTo(x - 3, y);
  context.lineTo(x + 3, y);
  if (positive) { context.moveTo(x, y - 3); context.lineTo(x, y + 3); }
  context.lineWidth = 1.6;
  context.stroke();
}

/** @param {[number, number, number, number]} box */
function frame([x0, y0, x1, y1]) {
  const { scale, x, y } = view;
  for (const [colour, width] of /** @type {[string, number][]} */ ([["#0009", 4], ["#fff", 2]])) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.strokeRect(x + x0 * scale, y + y0 * scale, (x1 - x0) * scale, (y1 - y0) * scale);
  }
}

new ResizeObserver(() => (view.photo ? fit() : draw())).observe(canvas);
