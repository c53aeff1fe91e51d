// What the hand does on the photo, as one state machine: click adds, right click removes, drag makes a box, wheel zooms.
// @ts-check
import { Stroke } from "./brush.js";
import { act, finishObject, guess, notify, prompt, select, target } from "./actions.js";
import { byId } from "./dom.js";
import { expect, forget } from "./preview.js";
import { endReshape, grab, handleAt, reshapeTo } from "./polygon.js";
import { takeAt } from "./proposals.js";
import { redraw, redrawAll, view } from "./stage.js";
import { active, become, emit, objectAt, objectOf, rest, state, subscribe } from "./state.js";
/** @typedef {import("./types").Point} Point */

const stage = byId("stage");
const where = byId("where");
const DRAG = 5; // CSS pixels that make a click a drag
const PRESS = 12; // milliseconds after which a button is held, not tapped
const LONG = 500; // milliseconds after which a finger takes away
const EDGE = 40; // CSS pixels that the crosshair keeps from the border
let expecting = 0;
let spaceHeld = false;
/** Where the pointer was last, with the fractions of a pixel that wheel events lack. @type {Point | null} */
let hover = null;
/** Fingers on the photo. @type {Map<number, Point>} */
const fingers = new Map();

/** @param {PointerEvent | WheelEvent | MouseEvent} event @returns {Point} */
function place(event) {
  const box = stage.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

const resting = () => ["idle", "reviewing", "crosshair", "shaping"].includes(state.hand.doing);

/** @param {PointerEvent} event */
function down(event) {
  if (!state.image) return;
  const screen = place(event);
  const touch = event.pointerType === "touch";
  if (touch) fingers.set(event.pointerId, screen);
  stage.setPointerCapture(event.pointerId);
  stage.focus({ preventScroll: true });
  stage.classList.remove("keyed");
  clearTimeout(expecting);
  if (fingers.size > 1) return become({ doing: "pinching" }); // two fingers move the photo, whatever one had begun
  const eraser = event.button === 5 || (event.buttons & 32) !== 0; // a pen's other end
  if (!resting() || (!eraser && event.button > 2)) return;
  const at = view.toImage(screen);
  if (state.hand.doing === "reviewing") state.reviewLater = true; // a hand on the photo goes on by itself
  if (event.button === 1 || spaceHeld || state.tool === "pan") return become({ doing: "panning" });
  const swapped = event.button === 2 || event.shiftKey;
  if (eraser || state.tool === "brush" || state.tool === "eraser") return beginStroke(at, eraser || (state.tool === "eraser") !== swapped);
  if (state.tool === "lasso") return beginLasso(at, swapped);
  const reshaping = grab(at, swapped, event.altKey);
  if (reshaping) return become(reshaping);
  const positive = !swapped;
  become({ doing: "pressing", screen, at, positive, other: event.altKey, touch });
  if (touch) expecting = window.setTimeout(takeAway, LONG);
  else if (view.holds(at)) expectClick(at, positive, event.altKey);
}

/**
 * Most presses become clicks where they began: the model need not wait for the release, unless it comes at once.
 * @param {Point} point @param {boolean} positive @param {boolean} other
 */
function expectClick(point, positive, other) {
  if (!positive && !active()) return;
  const meaning = meaningOf(point, positive, other);
  if (meaning.kind !== "choose") {
    expecting = window.setTimeout(() => guess([clickOf(point, positive)], meaning.kind === "begin"), PRESS);
  }
}

/** A finger that stays takes away. */
function takeAway() {
  if (state.hand.doing !== "pressing") return;
  const { at } = state.hand;
  rest();
  navigator.vibrate?.(20);
  void clickAt(at, false, performance.now());
}

/** @param {PointerEvent} event */
function move(event) {
  const screen = (hover = place(event));
  const at = view.toImage(screen);
  where.textContent = state.image && view.holds(at) ? `${Math.floor(at.x)}, ${Math.floor(at.y)}` : "";
  point(at, event.altKey);
  if (state.hand.doing === "pinching") return pinch(event.pointerId, screen);
  if (state.hand.doing === "panning") {
    view.pan(event.movementX, event.movementY);
    redrawAll();
  } else if (state.hand.doing === "painting") {
    for (const part of event.getCoalescedEvents?.() ?? []) state.hand.stroke.to(view.toImage(place(part)));
    state.hand.stroke.to(at);
    redraw("overlay");
  } else if (state.hand.doing === "lassoing") {
    for (const part of event.getCoalescedEvents?.() ?? []) state.hand.points.push(view.toImage(place(part)));
    state.hand.points.push(at);
    redraw("marks");
  } else if (state.hand.doing === "reshaping") {
    reshapeTo(state.hand, at);
  } else if (state.hand.doing === "pressing") {
    const { screen: from, at: begun, positive, other, touch } = state.hand;
    if (Math.hypot(screen.x - from.x, screen.y - from.y) <= (touch ? 2 : 1) * DRAG) return;
    clearTimeout(expecting);
    if (positive) become({ doing: "boxing", from: begun, to: at, begins: meaningOf(begun, true, other, true).kind === "begin" });
  } else if (state.hand.doing === "boxing") {
    state.hand.to = at;
    redraw("marks");
  }
}

/** Two fingers: the photo stays under both. @param {number} finger @param {Point} screen */
function pinch(finger, screen) {
  const before = fingers.get(finger);
  const still = [...fingers].find(([id]) => id !== finger)?.[1];
  fingers.set(finger, screen);
  if (!before || !still) return;
  const spread = (/** @type {Point} */ p) => Math.max(1, Math.hypot(p.x - still.x, p.y - still.y));
  view.pan((screen.x - before.x) / 2, (screen.y - before.y) / 2);
  view.zoom(spread(screen) / spread(before), { x: (screen.x + still.x) / 2, y: (screen.y + still.y) / 2 });
  redrawAll();
}

/** @param {PointerEvent} event */
function up(event) {
  fingers.delete(event.pointerId);
  clearTimeout(expecting);
  const hand = state.hand;
  if (hand.doing === "pinching" ? fingers.size : resting()) return;
  if (hand.doing === "painting") return void (event.type === "pointercancel" ? cancelStroke() : endStroke());
  rest();
  if (hand.doing === "reshaping") return endReshape(hand, event.type !== "pointercancel");
  if (hand.doing === "lassoing") return endLasso(hand, event.type !== "pointercancel");
  if (event.type === "pointercancel") return;
  if (hand.doing === "boxing") {
    const box = boxOf(hand.from, view.toImage(place(event)));
    if (box) void prompt([box], { at: event.timeStamp, begins: hand.begins });
  } else if (hand.doing === "pressing" && view.holds(hand.at)) {
    if (event.button !== 2 && !hand.other && takeAt(hand.at, event.shiftKey)) return;
    void clickAt(hand.at, hand.positive, event.timeStamp, hand.other);
  }
}

/**
 * What a press here means. Without an active object: a click on a mask chooses it, elsewhere it begins an object. With one:
 * a click on another object's mask chooses that one, elsewhere it adds; a drag (`box`) outside the active mask begins an
 * object. `other` (Alt) is the opposite; what takes away always means the active object.
 * @param {Point} point @param {boolean} positive @param {boolean} other @param {boolean} [box]
 * @returns {{kind: "add" | "remove" | "begin" | "choose", object: string | null}}
 */
export function meaningOf(point, positive, other, box = false) {
  if (!positive) return { kind: "remove", object: state.active };
  const under = objectAt(point, state.active);
  if (box) {
    const begins = !state.active || (under === state.active ? other : !other);
    return { kind: begins ? "begin" : "add", object: begins ? null : state.active };
  }
  if (under && under !== state.active && !other) return { kind: "choose", object: under };
  if (!state.active || (other && !under)) return { kind: "begin", object: null };
  return { kind: "add", object: state.active };
}

/** One click of the person, from mouse, finger or keyboard. @param {Point} at @param {boolean} positive @param {number} time @param {boolean} [other] */
export function clickAt(at, positive, time, other = false) {
  if (!positive && !active() && !state.pending.length) {
    notify("There is nothing to remove from yet. Click the object first, or choose one in the list.");
    return Promise.resolve(false);
  }
  const meaning = meaningOf(at, positive, other);
  if (meaning.kind === "choose") {
    select(meaning.object);
    return Promise.resolve(true);
  }
  return prompt([clickOf(at, positive)], { at: time, begins: meaning.kind === "begin" });
}

/** @param {Point} point @param {boolean} positive @returns {import("./types").ClickPrompt} */
function clickOf(point, positive) {
  const x = Math.round(point.x * 10) / 10;
  const y = Math.round(point.y * 10) / 10;
  return { type: "click", x: Math.min(x, view.image.width - 0.1), y: Math.min(y, view.image.height - 0.1), positive };
}

/** @param {Point} a @param {Point} b @returns {import("./types").BoxPrompt | null} */
export function boxOf(a, b) {
  const clampX = (/** @type {number} */ x) => Math.max(0, Math.min(view.image.width, Math.round(x)));
  const clampY = (/** @type {number} */ y) => Math.max(0, Math.min(view.image.height, Math.round(y)));
  const [x0, x1] = [clampX(Math.min(a.x, b.x)), clampX(Math.max(a.x, b.x))];
  const [y0, y1] = [clampY(Math.min(a.y, b.y)), clampY(Math.max(a.y, b.y))];
  return x1 - x0 < 2 || y1 - y0 < 2 ? null : { type: "box", x0, y0, x1, y1 };
}

/** The object to paint in or erase from; null, and why, where there is none. @param {boolean} erase */
function paintable(erase) {
  if (!erase || objectOf(state.active) || state.pending.some((work) => work.action.object === state.active)) return target();
  rest();
  notify("There is nothing to erase from. Choose an object in the list.");
  return null;
}

/** @param {Point} at @param {boolean} erase */
function beginLasso(at, erase) {
  const object = paintable(erase);
  if (object) become({ doing: "lassoing", points: [at], erase, object });
}

/** @param {Extract<import("./state.js").Hand, {doing: "lassoing"}>} hand @param {boolean} kept */
function endLasso({ points, erase, object }, kept) {
  if (!state.image) return;
  const stroke = new Stroke(state.image.width, state.image.height, 0);
  if (kept) stroke.fill(points);
  if (stroke.empty) return cancelStroke();
  void act({ kind: "stroke", object, erase, label: state.label }, { stroke });
}

/** @param {Point} at @param {boolean} erase */
function beginStroke(at, erase) {
  const object = paintable(erase);
  if (!object || !state.image) return;
  const stroke = new Stroke(state.image.width, state.image.height, state.brush);
  stroke.to(at);
  become({ doing: "painting", stroke, erase, object });
}

function endStroke() {
  if (state.hand.doing !== "painting") return;
  const { stroke, erase, object } = state.hand;
  if (stroke.empty) return cancelStroke();
  void act({ kind: "stroke", object, erase, label: state.label }, { stroke }); // it stays on screen until it is saved
  rest();
}

function cancelStroke() {
  rest();
  if (!objectOf(state.active) && !state.pending.length) state.active = null;
  emit("active");
}

/** The connection is lost, or the window: what was painted is kept, what was only begun is not. */
function letGo() {
  clearTimeout(expecting);
  fingers.clear();
  if (state.hand.doing === "painting") endStroke();
  else if (!resting()) leave();
}

/** Where the pointer is: the brush's cursor, the object under it, and what a press would do. @param {Point | null} at @param {boolean} [other] */
function point(at, other = false) {
  state.pointer = at;
  if (state.tool === "brush" || state.tool === "eraser") redraw("marks");
  if (!resting()) return;
  const under = at && state.tool === "click" ? objectAt(at, state.active) : null;
  if (under !== state.hover) {
    state.hover = under;
    emit("hover");
  }
  if (at && state.polygonOn && handleAt(at)) {
    forget();
    return void (stage.dataset.does = "reshape");
  }
  const here = at && state.tool === "click" && view.holds(at);
  const meaning = here ? meaningOf(at, true, other).kind : "";
  stage.dataset.does = meaning;
  if (here && (meaning === "add" || meaning === "begin")) expect(clickOf(at, true), meaning === "begin");
  else forget();
}

/** @param {WheelEvent} event */
function wheel(event) {
  event.preventDefault();
  const rough = place(event);
  const at = hover && Math.hypot(hover.x - rough.x, hover.y - rough.y) < 2 ? hover : rough;
  if (event.shiftKey && !event.ctrlKey) view.pan(-event.deltaY - event.deltaX, 0);
  else view.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : event.ctrlKey ? 0.01 : 0.0015)), at);
  point(view.toImage(at));
  redrawAll();
}

/** Move the keyboard's crosshair; the photo follows it. @param {number} dx @param {number} dy */
export function moveCrosshair(dx, dy) {
  if (!resting() || !state.image) return;
  const { width, height } = view.image;
  const from = state.hand.doing === "crosshair" ? state.hand.at : view.toImage({ x: view.width / 2, y: view.height / 2 });
  const at = {
    x: Math.max(0.5, Math.min(width - 0.5, Math.floor(from.x) + 0.5 + dx)),
    y: Math.max(0.5, Math.min(height - 0.5, Math.floor(from.y) + 0.5 + dy)),
  };
  become({ doing: "crosshair", at });
  where.textContent = `${Math.floor(at.x)}, ${Math.floor(at.y)}`;
  const screen = view.toScreen(at);
  const beyond = (/** @type {number} */ v, /** @type {number} */ size) => Math.max(0, EDGE - v) - Math.max(0, v - (size - EDGE));
  const [right, lower] = [beyond(screen.x, view.width), beyond(screen.y, view.height)];
  if (!right && !lower) return;
  view.pan(right, lower);
  redrawAll();
}

/** Escape: leave what is being done, else the object. */
export function leave() {
  const { hand } = state;
  if (hand.doing === "painting" || hand.doing === "lassoing") return cancelStroke();
  if (hand.doing === "reshaping") endReshape(hand, false);
  if (state.hand.doing === "reviewing") state.reviewLater = true;
  if (state.hand.doing === "idle") return finishObject();
  rest();
}

/** @param {boolean} held */
export function holdSpace(held) {
  spaceHeld = held;
  stage.classList.toggle("pan", held || state.tool === "pan");
}

export function startHand() {
  stage.addEventListener("pointerdown", down);
  stage.addEventListener("pointermove", move);
  stage.addEventListener("pointerup", up);
  stage.addEventListener("pointercancel", up);
  stage.addEventListener("pointerleave", () => point(null));
  stage.addEventListener("wheel", wheel, { passive: false });
  stage.addEventListener("keyup", (event) => stage.classList.toggle("keyed", stage.classList.contains("keyed") || event.key === "Tab" || event.key.startsWith("Arrow")));
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("dblclick", (event) => event.preventDefault());
  window.addEventListener("blur", letGo);
  subscribe(["lost"], letGo);
  subscribe(["hand"], () => stage.classList.toggle("panning", state.hand.doing === "panning"));
}
