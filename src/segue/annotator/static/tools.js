// What the pointer does on the photo: click adds, right click removes, drag makes a box, wheel zooms.
// @ts-check
import { byId } from "./dom.js";
import { Stroke } from "./brush.js";
import { redraw, redrawAll, view } from "./stage.js";
import { active, emit, objectOf, state, subscribe } from "./state.js";
import { act, finishObject, guess, notify, prompt, select, target } from "./actions.js";
/** @typedef {import("./types").Point} Point */

const stage = byId("stage");
const where = byId("where");
const DRAG = 5; // CSS pixels that make a click a drag
const PRESS = 12; // milliseconds after which a button is held, not tapped
let expecting = 0;
/** @type {{at: Point, image: Point, button: number, shift: boolean, moved: boolean, pan: boolean} | null} */
let press = null;
let spaceHeld = false;
/** Where the pointer was last, with the fractions of a pixel that wheel events lack. @type {Point | null} */
let hover = null;

/** @param {PointerEvent | WheelEvent | MouseEvent} event @returns {Point} */
function place(event) {
  const box = stage.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

/** @param {PointerEvent} event */
function down(event) {
  if (!state.image || (event.button !== 0 && event.button !== 1 && event.button !== 2)) return;
  const at = place(event);
  const image = view.toImage(at);
  const pan = event.button === 1 || spaceHeld || state.tool === "pan";
  stage.setPointerCapture(event.pointerId);
  stage.focus({ preventScroll: true });
  stage.classList.remove("keyed");
  state.crosshair = null;
  press = { at, image, button: event.button, shift: event.shiftKey, moved: false, pan };
  if (pan) stage.classList.add("panning");
  else if (event.altKey && event.button === 0) pick(image);
  else if (state.tool === "brush" || state.tool === "eraser") beginStroke(image, event.button === 2 || event.shiftKey);
  else if (view.holds(image)) expectClick(image, event.button === 0 && !event.shiftKey);
}

/**
 * Most presses become clicks where they began: the model need not wait for the release, unless it comes at once.
 * @param {Point} point @param {boolean} positive
 */
function expectClick(point, positive) {
  if (positive || active()) expecting = window.setTimeout(() => guess([clickOf(point, positive)]), PRESS);
}

/** @param {PointerEvent} event */
function move(event) {
  const at = (hover = place(event));
  const image = view.toImage(at);
  where.textContent = state.image && view.holds(image) ? `${Math.floor(image.x)}, ${Math.floor(image.y)}` : "";
  setPointer(image);
  if (!press) return;
  if (Math.hypot(at.x - press.at.x, at.y - press.at.y) > DRAG) press.moved = true;
  if (press.pan) {
    view.pan(event.movementX, event.movementY);
    redrawAll();
  } else if (state.stroke && state.stroke.last) {
    for (const part of event.getCoalescedEvents?.() ?? []) state.stroke.to(view.toImage(place(part)));
    state.stroke.to(image);
    redraw("overlay");
  } else if (press.moved && state.tool === "click" && press.button === 0 && !event.altKey) {
    setRubber(boxOf(press.image, image));
  }
}

/** @param {PointerEvent} event */
function up(event) {
  const done = press;
  press = null;
  clearTimeout(expecting);
  stage.classList.remove("panning");
  setRubber(null);
  if (!done || done.pan || event.type === "pointercancel") {
    if (event.type === "pointercancel" && state.stroke) cancelStroke();
    return;
  }
  if (state.stroke && state.stroke.last) return void endStroke();
  if (state.tool !== "click" || event.altKey) return;
  const image = view.toImage(place(event));
  if (done.moved && done.button === 0) {
    const box = boxOf(done.image, image);
    if (box) void prompt([box], event.timeStamp);
  } else if (view.holds(done.image)) {
    void clickAt(done.image, done.button === 0 && !done.shift, event.timeStamp);
  }
}

/** @param {Point | null} at */
function setPointer(at) {
  state.pointer = at;
  if (state.tool === "brush" || state.tool === "eraser") redraw("marks");
}

/** @param {import("./types").BoxPrompt | null} box */
function setRubber(box) {
  if (!box && !state.rubber) return;
  state.rubber = box;
  redraw("marks");
}

/** One click of the person, from mouse or keyboard. @param {Point} point @param {boolean} positive @param {number} at */
export function clickAt(point, positive, at) {
  if (!positive && !active() && !state.pending.length) {
    notify("There is nothing to remove from yet. Click the object first, or choose one in the list.");
    return Promise.resolve(false);
  }
  return prompt([clickOf(point, positive)], at);
}

/** @param {Point} point @param {boolean} positive @returns {import("./types").ClickPrompt} */
function clickOf(point, positive) {
  const x = Math.round(point.x * 10) / 10;
  const y = Math.round(point.y * 10) / 10;
  return { type: "click", x: Math.min(x, view.image.width - 0.1), y: Math.min(y, view.image.height - 0.1), positive };
}

/** @param {Point} a @param {Point} b @returns {import("./types").BoxPrompt | null} */
function boxOf(a, b) {
  const clampX = (/** @type {number} */ x) => Math.max(0, Math.min(view.image.width, Math.round(x)));
  const clampY = (/** @type {number} */ y) => Math.max(0, Math.min(view.image.height, Math.round(y)));
  const [x0, x1] = [clampX(Math.min(a.x, b.x)), clampX(Math.max(a.x, b.x))];
  const [y0, y1] = [clampY(Math.min(a.y, b.y)), clampY(Math.max(a.y, b.y))];
  return x1 - x0 < 2 || y1 - y0 < 2 ? null : { type: "box", x0, y0, x1, y1 };
}

/** Choose the uppermost object under a point. @param {Point} point */
function pick(point) {
  const probe = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
  const hit = state.objects.findLast((o) => o.shape && !o.hidden && probe.isPointInPath(o.shape.path, point.x, point.y, "evenodd"));
  select(hit?.id ?? null);
}

/** @param {Point} image @param {boolean} other the right button swaps brush and eraser */
function beginStroke(image, other) {
  const erasing = (state.tool === "eraser") !== other;
  if (erasing && !active()) return notify("There is nothing to erase from. Choose an object in the list.");
  if (state.stroke || !target() || !state.image) return;
  state.erasing = erasing;
  state.stroke = new Stroke(state.image.width, state.image.height, state.brush);
  state.stroke.to(image);
  emit("stroke");
}

async function endStroke() {
  const stroke = state.stroke;
  if (!stroke || !state.active) return;
  stroke.last = null; // finished: it stays on screen until the server has saved it
  if (stroke.empty) return cancelStroke();
  const [object, erase, label] = [state.active, state.erasing, state.label];
  await act({ kind: "stroke", object, erase, pixels: await stroke.runs(), label });
}

function cancelStroke() {
  state.stroke = null;
  if (!objectOf(state.active)) state.active = null;
  emit("stroke", "active");
}

/** @param {WheelEvent} event */
function wheel(event) {
  event.preventDefault();
  const rough = place(event);
  const at = hover && Math.hypot(hover.x - rough.x, hover.y - rough.y) < 2 ? hover : rough;
  if (event.shiftKey && !event.ctrlKey) view.pan(-event.deltaY - event.deltaX, 0);
  else view.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : event.ctrlKey ? 0.01 : 0.0015)), at);
  setPointer(view.toImage(at));
  redrawAll();
}

/** @param {number} factor */
export function zoomBy(factor) {
  view.zoom(factor, { x: view.width / 2, y: view.height / 2 });
  redrawAll();
}

export function fitPhoto() {
  view.fit();
  redrawAll();
}

/** Move the keyboard's crosshair. @param {number} dx @param {number} dy */
export function moveCrosshair(dx, dy) {
  const { width, height } = view.image;
  const from = state.crosshair ?? view.toImage({ x: view.width / 2, y: view.height / 2 });
  state.crosshair = {
    x: Math.max(0.5, Math.min(width - 0.5, Math.floor(from.x) + 0.5 + dx)),
    y: Math.max(0.5, Math.min(height - 0.5, Math.floor(from.y) + 0.5 + dy)),
  };
  where.textContent = `${Math.floor(state.crosshair.x)}, ${Math.floor(state.crosshair.y)}`;
  redraw("marks");
}

/** @param {typeof state.tool} tool */
export function choose(tool) {
  state.tool = tool;
  emit("tool");
}

/** @param {number} radius */
export function setBrush(radius) {
  state.brush = Math.max(0.5, Math.min(300, Math.round(radius * 2) / 2));
  localStorage.setItem("segue.brush", String(state.brush));
  emit("tool");
}

/** @param {boolean} held */
export function holdSpace(held) {
  spaceHeld = held;
  stage.classList.toggle("pan", held || state.tool === "pan");
}

export function startTools() {
  stage.addEventListener("pointerdown", down);
  stage.addEventListener("pointermove", move);
  stage.addEventListener("pointerup", up);
  stage.addEventListener("pointercancel", up);
  stage.addEventListener("pointerleave", () => setPointer(null));
  stage.addEventListener("wheel", wheel, { passive: false });
  stage.addEventListener("keyup", (event) => stage.classList.toggle("keyed", stage.classList.contains("keyed") || event.key === "Tab" || event.key.startsWith("Arrow")));
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("dblclick", (event) => event.preventDefault());
  subscribe(["tool"], () => {
    stage.classList.toggle("brush", state.tool === "brush" || state.tool === "eraser");
    stage.classList.toggle("pan", state.tool === "pan");
  });
  subscribe(["image"], finishObjectOnArrival);
}

function finishObjectOnArrival() {
  if (state.active && !active()) finishObject();
}
