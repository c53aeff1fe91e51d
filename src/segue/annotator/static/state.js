// What the page knows, and who wants to hear when it changes.
// @ts-check
/** @typedef {import("./types").ObjectMessage & {shape: import("./types").Shape | null}} Drawn */

/**
 * Topics: "project" (classes, settings, model), "image" (another image), "objects" (any object changed), "mask" (an
 * answer that is still being saved), "active" (selection), "tool", "status", "pending", "view" (zoom, pan), "polygon", "hand", "hover"
 * (the object under the pointer), "list" (the images that are shown or chosen), "files" (many images changed), "lost" (the server does not answer).
 * @typedef {"project" | "image" | "objects" | "mask" | "active" | "tool" | "status" | "pending" | "view" | "polygon" | "hand" | "hover" | "list" | "files" | "lost"} Topic
 */

/**
 * What the hand is doing: one thing at a time, left by every release, refusal, other image and lost connection.
 * "reviewing": a found mask waits for a decision, or the image for a verdict; "crosshair": the keyboard's pointer is on the photo; "shaping": a rule
 * is being tried on the active object.
 * @typedef {import("./types").Point} Point
 * @typedef {{doing: "idle" | "reviewing" | "panning" | "pinching"} | {doing: "crosshair", at: Point}
 *   | {doing: "pressing", screen: Point, at: Point, positive: boolean, other: boolean, touch: boolean}
 *   | {doing: "boxing", from: Point, to: Point, begins: boolean}
 *   | {doing: "painting", stroke: import("./brush.js").Stroke, erase: boolean, object: string}
 *   | {doing: "lassoing", points: Point[], erase: boolean, object: string}
 *   | {doing: "shaping", how: string, amount: number, object: string, shape: import("./types").Shape | null} | Reshaping} Hand
 * @typedef {{doing: "reshaping", ring: number, index: number, whole: boolean, from: Point, moved: boolean, points: number[]}} Reshaping
 */

export const state = {
  /** @type {import("./types").Project | null} */
  project: null,
  /** @type {import("./types").ImageMessage | null} */
  image: null,
  /** Objects, bottom first. @type {Drawn[]} */
  objects: [],
  /** @type {string | null} */
  active: null,
  /** Objects chosen together with the active one. @type {Set<string>} */
  picked: new Set(),
  /** Whether accepted images are given verdicts, one after the other. */
  reviewing: false,
  /** The class of the next object. @type {number | null} */
  label: null,
  /** @type {"click" | "brush" | "eraser" | "lasso" | "pan"} */
  tool: "click",
  /** Radius in image pixels. */
  brush: Number(localStorage.getItem("segue.brush")) || 12,
  /** @type {Hand} */
  hand: { doing: "idle" },
  /** Prompts and strokes on their way: shown until their answer is, or until they are refused. @type {import("./actions.js").Work[]} */
  pending: [],
  /** @type {import("./types").Status | null} */
  status: null,
  saving: 0,
  problem: "",
  /** Why the photo is not shown. */
  photoProblem: "",
  lastClick: 0,
  overlays: true,
  /** @type {import("./types").Polygon | null} */
  polygon: null,
  polygonOn: false,
  /** Found masks that wait for a decision are put off until the image is opened again. */
  reviewLater: false,
  /** Where the pointer is, in image pixels. @type {import("./types").Point | null} */
  pointer: null,
  /** The object under the pointer, in the photo or in the list. @type {string | null} */
  hover: null,
};

/** Who draws the masks: at once. @type {Map<Topic, Set<() => void>>} */
const listeners = new Map();
/** What stands around them, panels and marks: it follows in the next frame. @type {Map<Topic, Set<() => void>>} */
export const followers = new Map();
/** @type {Set<() => void>} */
const due = new Set();
const PATIENCE = 80; // milliseconds
let frame = 0;
let timer = 0;

/** Hear at once. @param {Topic[]} topics @param {() => void} listener */
export function subscribe(topics, listener) {
  register(listeners, topics, listener);
}

/**
 * Hear once before the next frame; while an answer is awaited only when it does not come at once: most come sooner than
 * anybody reads that it is awaited, and what the page draws meanwhile takes time from the model.
 * @param {Topic[]} topics @param {() => void} listener
 */
export function follow(topics, listener) {
  register(followers, topics, listener);
}

/** @param {Map<Topic, Set<() => void>>} map @param {Topic[]} topics @param {() => void} listener */
function register(map, topics, listener) {
  for (const topic of topics) map.set(topic, (map.get(topic) ?? new Set()).add(listener));
}

/** @param {Topic[]} topics */
export function emit(...topics) {
  const now = new Set(topics.flatMap((topic) => [...(listeners.get(topic) ?? [])]));
  for (const listener of now) listener();
  for (const topic of topics) for (const listener of followers.get(topic) ?? []) due.add(listener);
  if (!due.size) return;
  if (state.pending.length) timer ||= window.setTimeout(catchUp, PATIENCE);
  else frame ||= requestAnimationFrame(catchUp);
}

function catchUp() {
  cancelAnimationFrame(frame);
  clearTimeout(timer);
  frame = timer = 0;
  const now = [...due];
  due.clear();
  for (const listener of now) listener();
}

/** @param {Hand} hand */
export function become(hand) {
  state.hand = hand;
  emit("hand");
}

/** The hand lets go of whatever it was doing. */
export function rest() {
  const { image } = state;
  const waits = image && (image.findings.length || (state.reviewing && image.state === "accepted" && !image.review));
  become({ doing: waits && !state.reviewLater ? "reviewing" : "idle" });
}

/** @param {string | null} id */
export const objectOf = (id) => state.objects.find((object) => object.id === id) ?? null;

/** @param {number | null} id */
export const labelOf = (id) => state.project?.labels.find((label) => label.id === id) ?? null;

/** Objects of one image in the order in which they were first seen, so that each keeps its colour. @type {Map<string, number>} */
const places = new Map();
const PALETTE = ["#4C8DFF", "#FF7A59", "#2FB67C", "#E0559A", "#F2B33D", "#8A6BF2", "#22B8CF", "#B5C334", "#E5484D", "#9C7A5B"];

/** How much white (or, below zero, black) is mixed into a class's colour, object after object, so that neighbours differ. */
const SHADES = [0, 0.34, -0.28, 0.55, -0.45, 0.17];

/** The colour an object is drawn in: a shade of its class's, or its own while there is only one class. @param {{id: string, label: number | null}} object */
export function colourOf(object) {
  if (!places.has(object.id)) places.set(object.id, places.size);
  const place = places.get(object.id) ?? 0;
  if ((state.project?.labels.length ?? 0) < 2) return PALETTE[place % PALETTE.length];
  return shaded(labelOf(object.label)?.colour ?? "#8b96a3", SHADES[place % SHADES.length]);
}

/** @param {string} colour #rrggbb @param {number} amount of white, or below zero of black */
function shaded(colour, amount) {
  const to = amount > 0 ? 255 : 0;
  const mixed = [1, 3, 5].map((at) => Math.round(parseInt(colour.slice(at, at + 2), 16) * (1 - Math.abs(amount)) + to * Math.abs(amount)));
  return `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

/** Another image begins with the first colour again. */
export function resetColours() {
  places.clear();
  for (const object of state.objects) places.set(object.id, places.size);
}

/** The object that the next prompt belongs to. */
export const active = () => objectOf(state.active);

const probe = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));

/** The object under a point: `first` if it is, else the uppermost. @param {Point} point @param {string | null} first */
export function objectAt(point, first) {
  const holds = (/** @type {Drawn} */ { shape, hidden }) =>
    shape && !hidden && point.x >= shape.box[0] && point.y >= shape.box[1] && point.x < shape.box[2] && point.y < shape.box[3] && probe.isPointInPath(shape.path, point.x, point.y, "evenodd");
  const preferred = objectOf(first);
  return (preferred && holds(preferred) ? preferred : state.objects.findLast(holds))?.id ?? null;
}

/** What people call an object: its class and its number in it, oldest first. @param {string} id */
export function nameOf(id) {
  const object = objectOf(id);
  const label = object ? object.label : state.label;
  const number = 1 + state.objects.filter((other) => other.label === label).findIndex((other) => other.id === id);
  return `${labelOf(label)?.name ?? "object"}${number ? ` ${number}` : ""}`;
}
