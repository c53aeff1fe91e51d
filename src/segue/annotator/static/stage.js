// Where the photo lies on the screen, and the masks on it, redrawn only when what they show changed.
// @ts-check
import { byId } from "./dom.js";
import { fillOf } from "./seeing.js";
import { active, colourOf, emit, follow, objectOf, state, subscribe } from "./state.js";
/** @typedef {import("./types").Point} Point */
/** @typedef {import("./state.js").Drawn} Drawn */
/** @typedef {{shape: Drawn["shape"], colour: string}} Seen */

const MARGIN = 28;
const LARGEST = 64;

/**
 * Where the photo lies on the screen: scale and offset in CSS pixels, `ratio` device pixels to one of them. Only this class
 * converts between image pixels and canvas pixels.
 */
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

export const view = new Viewport();
const stage = byId("stage");
const overlay = contextOf("overlay");
/** Objects under the active one, and over it where the overlap policy hides what lies under them. */
const below = hiddenContext();
const above = hiddenContext();
/** The pixels that the objects above hide. */
const cover = hiddenContext();
/** A layer in which an eraser can take away from the active object alone. */
const layer = hiddenContext();
const dirty = { photo: true, below: true, overlay: true, marks: true };
let scheduled = false;
/** What the layers of the other objects show, so that a click costs one object in an image of two hundred. */
const drawn = { below: /** @type {Seen[]} */ ([]), above: /** @type {Seen[]} */ ([]) };
/** Who draws the canvases around the masks. @type {{photo?: () => void, marks?: () => void}} */
const painters = {};

/** @param {string} id of a canvas */
export function contextOf(id) {
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
  emit("view");
}

/** Let `draw` paint a canvas whenever that is asked for. @param {"photo" | "marks"} what @param {() => void} draw */
export function addPainter(what, draw) {
  painters[what] = draw;
}

function draw() {
  scheduled = false;
  if (dirty.photo) painters.photo?.();
  if (dirty.below) forgetLayers();
  if (dirty.overlay || dirty.below) drawOverlay();
  if (dirty.marks) painters.marks?.();
  Object.assign(dirty, { photo: false, below: false, overlay: false, marks: false });
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
  const strokes = strokesById();
  if (object && !object.hidden && !strokes.has(object.id)) paint(overlay, object, true);
  for (const [id, some] of strokes) paintStrokes(id, some);
  const hovered = objectOf(state.hover);
  if (hovered?.shape && !hovered.hidden && hovered !== object) {
    view.apply(overlay);
    outline(overlay, hovered.shape.path, "#fff", 2);
  }
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
  const alpha = fillOf(isActive);
  context.globalAlpha = alpha;
  context.fillStyle = colour;
  if (alpha && !(isActive && state.polygonOn)) context.fill(path, "evenodd");
  context.globalAlpha = 1;
  outline(context, path, colour, isActive ? 2 : 1.5);
}

/** Mitred unless said otherwise: the corners of pixels are right angles, and round joins take twice as long. @param {CanvasRenderingContext2D} context @param {Path2D} path @param {string} colour @param {number} width @param {CanvasLineJoin} [join] */
export function outline(context, path, colour, width, join = "miter") {
  context.lineJoin = join;
  context.strokeStyle = "rgb(0 0 0 / 38%)";
  context.lineWidth = (width + 1.6) / view.scale;
  context.stroke(path);
  context.strokeStyle = colour;
  context.lineWidth = width / view.scale;
  context.stroke(path);
}

/** Strokes that are not saved yet, by object, oldest first. @returns {Map<string, {path: Path2D, erase: boolean}[]>} */
function strokesById() {
  const strokes = state.pending.flatMap(({ stroke, action }) => (stroke ? [{ stroke, erase: Boolean(action.erase), object: String(action.object) }] : []));
  if (state.hand.doing === "painting") strokes.push(state.hand);
  /** @type {Map<string, {path: Path2D, erase: boolean}[]>} */
  const byId = new Map();
  for (const { stroke, erase, object } of strokes) byId.set(object, [...(byId.get(object) ?? []), { path: stroke.path(), erase }]);
  return byId;
}

/** An object with its unsaved strokes put in or taken out, pixel by pixel. @param {string} id @param {{path: Path2D, erase: boolean}[]} strokes */
function paintStrokes(id, strokes) {
  const object = objectOf(id);
  clear(layer);
  view.apply(layer);
  layer.fillStyle = colourOf(object ?? { id, label: state.label });
  if (object?.shape) layer.fill(object.shape.path, "evenodd");
  for (const { path, erase } of strokes) {
    layer.globalCompositeOperation = erase ? "destination-out" : "source-over";
    layer.fill(path, "evenodd");
  }
  layer.globalCompositeOperation = "source-over";
  overlay.setTransform(1, 0, 0, 1, 0, 0);
  overlay.globalAlpha = Math.max(0.25, fillOf(true)) + 0.1; // what is being painted can always be seen
  overlay.drawImage(layer.canvas, 0, 0);
  overlay.globalAlpha = 1;
}

/** @param {CanvasRenderingContext2D} context */
export function clear(context) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
}

function measure() {
  const ratio = devicePixelRatio || 1;
  const { width, height } = stage.getBoundingClientRect();
  for (const { canvas } of [contextOf("photo"), overlay, contextOf("marks"), below, above, cover, layer]) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  view.resize(width, height, ratio);
  redrawAll();
}

export function startStage() {
  new ResizeObserver(measure).observe(stage);
  matchMedia("(resolution: 1dppx)").addEventListener("change", measure);
  subscribe(["objects", "active", "polygon", "hand", "hover"], () => redraw("overlay"));
  follow(["pending"], () => redraw("overlay"));
  subscribe(["project"], () => redraw("below"));
  subscribe(["mask"], () => {
    redraw("overlay");
    draw(); // at once: the next frame shows it, and the one after it the marks
  });
  measure();
}
