// Draws the photo, the masks and the marks: three canvases, each redrawn only when what it shows changed.
// @ts-check
import { byId } from "./dom.js";
import { active, colourOf, on, state, tell, unlessAnswered } from "./state.js";
import { Viewport } from "./viewport.js";
import { footprint } from "./brush.js";
/** @typedef {import("./state.js").Drawn} Drawn */
/** @typedef {{shape: Drawn["shape"], colour: string}} Seen */

export const view = new Viewport();
const stage = byId("stage");
const photo = context("photo");
const overlay = context("overlay");
const marks = context("marks");
/** Objects under the active one, and over it where the overlap policy hides what lies under them. */
const below = hiddenContext();
const above = hiddenContext();
/** The pixels that the objects above hide. */
const cover = hiddenContext();
/** A layer in which an eraser can take away from the active object alone. */
const layer = hiddenContext();
const dirty = { photo: true, below: true, overlay: true, marks: true };
/** The photo and smaller copies of it. @type {ImageBitmap[]} */
let levels = [];
let shown = 0;
let scheduled = false;
/** What the layers of the other objects show, so that a click costs one object in an image of two hundred. */
const drawn = { below: /** @type {Seen[]} */ ([]), above: /** @type {Seen[]} */ ([]) };
/** Where the pointer is, in image pixels. @type {import("./types").Point | null} */
let pointer = null;
/** A box being drawn, in image pixels. @type {import("./types").BoxPrompt | null} */
let rubber = null;

/** @param {string} id */
function context(id) {
  const canvas = /** @type {HTMLCanvasElement} */ (byId(id));
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}

function hiddenContext() {
  return /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
}

/** @param {(keyof typeof dirty)[]} what */
export function redraw(...what) {
  for (const one of what) dirty[one] = true;
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(draw);
}

export function redrawAll() {
  redraw("photo", "below", "overlay", "marks");
  tell("view");
}

function draw() {
  scheduled = false;
  if (dirty.photo) drawPhoto();
  if (dirty.below) forgetLayers();
  if (dirty.overlay || dirty.below) drawOverlay();
  if (dirty.marks) drawMarks();
  Object.assign(dirty, { photo: false, below: false, overlay: false, marks: false });
}

function drawPhoto() {
  clear(photo);
  if (!levels.length || shown !== state.image?.id) return;
  const { width, height } = view.image;
  const wanted = view.scale * view.ratio;
  const level = levels.findLast((bitmap) => bitmap.width >= width * wanted) ?? levels[0];
  view.apply(photo);
  photo.imageSmoothingEnabled = wanted < 3;
  photo.imageSmoothingQuality = "high";
  photo.drawImage(level, 0, 0, width, height);
}

/** The other objects, under and over the active one. */
function others() {
  const order = inOrder();
  const at = order.findIndex((object) => object.id === state.active);
  if (at < 0) return { under: order, over: [] };
  const over = order.slice(at + 1);
  return state.project?.overlap === "allow" ? { under: [...order.slice(0, at), ...over], over: [] } : { under: order.slice(0, at), over };
}

/** Bring a layer up to date; true where it had to begin anew. @param {CanvasRenderingContext2D} context @param {"below" | "above"} which @param {Drawn[]} objects */
function drawLayer(context, which, objects) {
  const now = objects.map((object) => ({ shape: object.shape, colour: colourOf(object) }));
  const before = drawn[which];
  const anew = before.length > now.length || before.some(({ shape, colour }, i) => shape !== now[i].shape || colour !== now[i].colour);
  if (anew) clear(context);
  for (const object of objects.slice(anew ? 0 : before.length)) paint(context, object, false);
  drawn[which] = now;
  return anew || now.length > before.length;
}

function forgetLayers() {
  drawn.below = drawn.above = [];
  for (const context of [below, above, cover]) clear(context);
}

function drawOverlay() {
  clear(overlay);
  if (!state.overlays) return;
  const { under, over } = others();
  drawLayer(below, "below", under);
  overlay.setTransform(1, 0, 0, 1, 0, 0);
  if (under.length) overlay.drawImage(below.canvas, 0, 0);
  const object = active();
  if (object) paintActive(object);
  else if (state.stroke) paintStroke(null);
  if (drawLayer(above, "above", over)) drawCover(over);
  if (!over.length) return;
  overlay.setTransform(1, 0, 0, 1, 0, 0);
  overlay.globalCompositeOperation = "destination-out";
  overlay.drawImage(cover.canvas, 0, 0);
  overlay.globalCompositeOperation = "source-over";
  overlay.drawImage(above.canvas, 0, 0);
}

/** @param {Drawn[]} objects */
function drawCover(objects) {
  clear(cover);
  view.apply(cover);
  for (const { shape } of objects) if (shape) cover.fill(shape.path, "evenodd");
}

/** Objects in the order in which they are drawn; a later one hides an earlier one where the policy says so. */
function inOrder() {
  const seen = state.objects.filter((object) => !object.hidden && object.shape);
  return state.project?.overlap === "old" ? seen.reverse() : seen;
}

/** @param {CanvasRenderingContext2D} context @param {Drawn} object @param {boolean} isActive */
function paint(context, object, isActive) {
  if (!object.shape) return;
  view.apply(context);
  const { path } = object.shape;
  if (state.project?.overlap !== "allow") {
    context.globalCompositeOperation = "destination-out";
    context.fill(path, "evenodd");
    context.globalCompositeOperation = "source-over";
  }
  const colour = colourOf(object);
  context.globalAlpha = isActive ? 0.4 : 0.28;
  context.fillStyle = colour;
  if (!(isActive && state.polygonOn)) context.fill(path, "evenodd");
  context.globalAlpha = 1;
  outline(context, path, colour, isActive ? 2 : 1.5);
}

/** Mitred unless said otherwise: the corners of pixels are right angles, and round joins take twice as long. @param {CanvasRenderingContext2D} context @param {Path2D} path @param {string} colour @param {number} width @param {CanvasLineJoin} [join] */
function outline(context, path, colour, width, join = "miter") {
  context.lineJoin = join;
  context.strokeStyle = "rgb(0 0 0 / 38%)";
  context.lineWidth = (width + 1.6) / view.scale;
  context.stroke(path);
  context.strokeStyle = colour;
  context.lineWidth = width / view.scale;
  context.stroke(path);
}

/** @param {Drawn} object */
function paintActive(object) {
  if (object.hidden) return;
  if (state.stroke) return paintStroke(object);
  paint(overlay, object, true);
  if (state.polygonOn && state.polygon) paintPolygon(object);
}

/** The active object with the stroke in progress put in or taken out, pixel by pixel. @param {Drawn | null} object */
function paintStroke(object) {
  const stroke = state.stroke;
  if (!stroke) return;
  const path = stroke.path();
  const colour = colourOf(object ?? { id: state.active ?? "", label: state.label });
  clear(layer);
  view.apply(layer);
  layer.fillStyle = colour;
  if (object?.shape) layer.fill(object.shape.path, "evenodd");
  layer.globalCompositeOperation = state.erasing ? "destination-out" : "source-over";
  layer.fill(path, "evenodd");
  layer.globalCompositeOperation = "source-over";
  overlay.setTransform(1, 0, 0, 1, 0, 0);
  overlay.globalAlpha = 0.5;
  overlay.drawImage(layer.canvas, 0, 0);
  overlay.globalAlpha = 1;
}

/** @param {Drawn} object */
function paintPolygon(object) {
  const polygon = state.polygon;
  if (!polygon) return;
  const traced = new Path2D();
  for (const ring of polygon.rings) {
    traced.moveTo(ring[0], ring[1]);
    for (let i = 2; i < ring.length; i += 2) traced.lineTo(ring[i], ring[i + 1]);
    traced.closePath();
  }
  view.apply(overlay);
  overlay.globalAlpha = 0.3;
  overlay.fillStyle = colourOf(object);
  overlay.fill(traced, "evenodd");
  overlay.globalAlpha = 1;
  outline(overlay, traced, "#fff", 1.5, "round");
  overlay.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
  overlay.fillStyle = "#fff";
  overlay.strokeStyle = colourOf(object);
  overlay.lineWidth = 1.5;
  const box = object.shape?.box ?? [0, 0, 0, 0];
  const spacing = (2 * view.scale * (box[2] - box[0] + box[3] - box[1])) / polygon.points;
  const radius = Math.max(1, Math.min(2.6, spacing / 4));
  overlay.lineWidth = Math.min(1.5, radius * 0.6);
  for (const ring of polygon.rings) {
    for (let i = 0; i < ring.length; i += 2) {
      const p = view.toScreen({ x: ring[i], y: ring[i + 1] });
      overlay.beginPath();
      overlay.arc(p.x, p.y, radius, 0, 7);
      overlay.fill();
      overlay.stroke();
    }
  }
}

function drawMarks() {
  clear(marks);
  marks.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
  const object = active();
  if (state.overlays && !state.polygonOn) for (const p of object && !object.hidden ? object.prompts.flat() : []) drawPrompt(p, false);
  for (const p of state.pending) drawPrompt(p, true);
  if (state.proposal) drawProposal(state.proposal);
  if (rubber) drawBox(rubber, true);
  if (state.crosshair) drawCrosshair(state.crosshair);
  if (pointer && (state.tool === "brush" || state.tool === "eraser")) drawCursor(pointer);
}

/** @param {import("./types").Shape} shape */
function drawProposal(shape) {
  view.apply(marks);
  marks.globalAlpha = 0.3;
  marks.fillStyle = "#fff";
  marks.fill(shape.path, "evenodd");
  marks.globalAlpha = 1;
  outline(marks, shape.path, "#fff", 2);
  marks.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
}

/** @param {import("./types").Prompt} p @param {boolean} waiting */
function drawPrompt(p, waiting) {
  if (p.type === "box") return drawBox(p, waiting);
  if (p.type !== "click") return;
  const { x, y } = view.toScreen(p);
  marks.beginPath();
  marks.arc(x, y, 5.5, 0, 7);
  marks.fillStyle = p.positive ? "#18a866" : "#e5484d";
  marks.globalAlpha = waiting ? 0.6 : 1;
  marks.fill();
  marks.lineWidth = 4.5;
  marks.strokeStyle = "#0005";
  marks.stroke();
  marks.lineWidth = 2;
  marks.strokeStyle = "#fff";
  marks.stroke();
  marks.lineWidth = 1.5;
  marks.beginPath();
  marks.moveTo(x - 2.5, y);
  marks.lineTo(x + 2.5, y);
  if (p.positive) {
    marks.moveTo(x, y - 2.5);
    marks.lineTo(x, y + 2.5);
  }
  marks.stroke();
  if (waiting) {
    marks.beginPath();
    marks.arc(x, y, 10, 0, 7);
    marks.lineWidth = 1.5;
    marks.stroke();
  }
  marks.globalAlpha = 1;
}

/** @param {import("./types").BoxPrompt} box @param {boolean} waiting */
function drawBox(box, waiting) {
  const a = view.toScreen({ x: box.x0, y: box.y0 });
  const b = view.toScreen({ x: box.x1, y: box.y1 });
  for (const [colour, width] of /** @type {[string, number][]} */ ([["#000a", 3], ["#fff", 1.5]])) {
    marks.strokeStyle = colour;
    marks.lineWidth = width;
    marks.setLineDash(waiting ? [] : [5, 4]);
    marks.strokeRect(a.x, a.y, b.x - a.x, b.y - a.y);
  }
  marks.setLineDash([]);
}

/** @param {import("./types").Point} at */
function drawCrosshair(at) {
  const { x, y } = view.toScreen(at);
  for (const [colour, width] of /** @type {[string, number][]} */ ([["#000a", 3.5], ["#fff", 1.5]])) {
    marks.strokeStyle = colour;
    marks.lineWidth = width;
    marks.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      marks.moveTo(x + 5 * dx, y + 5 * dy);
      marks.lineTo(x + 18 * dx, y + 18 * dy);
    }
    marks.stroke();
  }
}

/** Exactly the pixels that a press here would paint. @param {import("./types").Point} at */
function drawCursor(at) {
  const path = footprint(at, state.brush);
  view.apply(marks);
  marks.strokeStyle = "#000c";
  marks.lineWidth = 3 / view.scale;
  marks.stroke(path);
  marks.strokeStyle = state.tool === "eraser" || state.erasing ? "#ff8d8d" : "#fff";
  marks.lineWidth = 1.4 / view.scale;
  marks.stroke(path);
}

/** @param {CanvasRenderingContext2D} context */
function clear(context) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
}

/** @param {import("./types").Point | null} at */
export function setPointer(at) {
  pointer = at;
  if (state.tool === "brush" || state.tool === "eraser") redraw("marks");
}

/** @param {import("./types").BoxPrompt | null} box */
export function setRubber(box) {
  if (!box && !rubber) return;
  rubber = box;
  redraw("marks");
}

async function loadPhoto() {
  const image = state.image;
  if (!image || shown === image.id) return;
  view.image = { width: image.width, height: image.height };
  view.fit();
  for (const bitmap of levels) bitmap.close();
  levels = [];
  shown = image.id;
  redrawAll();
  const answer = await fetch(`api/images/${image.id}/photo`);
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({ message: "The photo cannot be shown." }));
    state.problem = said.message;
    tell("status");
    return;
  }
  const whole = await createImageBitmap(await answer.blob(), { imageOrientation: "from-image" });
  const made = [whole];
  while (made[made.length - 1].width * made[made.length - 1].height > 1_500_000) {
    const last = made[made.length - 1];
    const resizeWidth = Math.ceil(last.width / 2);
    made.push(await createImageBitmap(last, { resizeWidth, resizeHeight: Math.ceil(last.height / 2), resizeQuality: "high" }));
  }
  if (state.image?.id !== image.id) return made.forEach((bitmap) => bitmap.close());
  levels = made;
  stage.dataset.photo = String(image.id);
  redraw("photo");
}

function measure() {
  const ratio = devicePixelRatio || 1;
  const { width, height } = stage.getBoundingClientRect();
  for (const { canvas } of [photo, overlay, marks, below, above, cover, layer]) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  view.resize(width, height, ratio);
  redrawAll();
}

export function startStage() {
  new ResizeObserver(measure).observe(stage);
  matchMedia("(resolution: 1dppx)").addEventListener("change", measure);
  on(["image"], () => void loadPhoto());
  on(["objects", "active", "polygon"], () => redraw("overlay", "marks"));
  on(["mask"], () => {
    redraw("overlay");
    draw(); // at once: the next frame shows it, and the one after it the marks
    requestAnimationFrame(() => redraw("marks"));
  });
  on(["project"], () => redraw("below", "marks"));
  on(["stroke"], () => redraw("overlay", "marks"));
  on(["pending"], unlessAnswered(() => redraw("marks")));
  on(["tool"], () => redraw("marks"));
  measure();
}
