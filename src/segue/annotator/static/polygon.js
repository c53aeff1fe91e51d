// The polygon view: the active object as rings, whose vertices the hand moves, inserts and removes.
// @ts-check
import { get } from "./api.js";
import { act } from "./actions.js";
import { byId } from "./dom.js";
import { view } from "./stage.js";
import { active, emit, follow, state } from "./state.js";
import { choose } from "./tools.js";
/** @typedef {import("./types").Point} Point */

const REACH = 8; // CSS pixels around a vertex or an edge
const slider = /** @type {HTMLInputElement} */ (byId("detail"));

/** Slider to tolerance in pixels: all the way to the right follows the mask exactly. */
const tolerance = () => (Number(slider.value) >= 100 ? 0 : Math.round(300 * Math.pow(60, (100 - Number(slider.value)) / 100)) / 1000);

let turn = 0;

async function refresh() {
  const object = active();
  const mine = ++turn;
  if (!state.polygonOn || !object || !state.image) {
    if (!state.polygon) return;
    state.polygon = null;
    return emit("polygon");
  }
  const detail = tolerance();
  const polygon = await get(`images/${state.image.id}/objects/${object.id}/polygon?tolerance=${detail}&frame=${state.image.frame}`).catch(() => null);
  if (mine !== turn || !state.polygonOn) return;
  state.polygon = polygon && { ...polygon, tolerance: detail };
  byId("polygon-text").textContent = polygon
    ? `${polygon.points} points in ${polygon.rings.length} ${polygon.rings.length === 1 ? "ring" : "rings"} · IoU ${polygon.iou.toFixed(polygon.iou > 0.999 ? 4 : 3)}`
    : "";
  emit("polygon");
}

export function togglePolygon() {
  state.polygonOn = !state.polygonOn && Boolean(active());
  if (state.polygonOn) choose("click");
  emit("tool", "polygon");
}

/** The nearest vertex within reach, else the nearest edge (between `index - 1` and `index`). @param {Point} at @returns {{ring: number, index: number, edge: boolean} | null} */
export function handleAt(at) {
  if (!state.polygonOn || !state.polygon || !active() || active()?.locked) return null;
  const reach = REACH / view.scale;
  let best = /** @type {{ring: number, index: number, edge: boolean} | null} */ (null);
  let least = reach;
  state.polygon.rings.forEach((points, ring) => {
    for (let i = 0; i < points.length; i += 2) {
      const distance = Math.hypot(points[i] - at.x, points[i + 1] - at.y);
      if (distance < least) [least, best] = [distance, { ring, index: i / 2, edge: false }];
    }
  });
  if (best) return best;
  state.polygon.rings.forEach((points, ring) => {
    for (let i = 0; i < points.length; i += 2) {
      const from = (i || points.length) - 2;
      const [dx, dy] = [points[i] - points[from], points[i + 1] - points[from + 1]];
      const t = Math.max(0, Math.min(1, ((at.x - points[from]) * dx + (at.y - points[from + 1]) * dy) / (dx * dx + dy * dy || 1)));
      const distance = Math.hypot(points[from] + t * dx - at.x, points[from + 1] + t * dy - at.y);
      if (distance < least) [least, best] = [distance, { ring, index: i / 2, edge: true }];
    }
  });
  return best;
}

/**
 * What a press on a vertex or an edge begins; null where there is none. Right: the vertex goes; Alt: the whole ring.
 * @param {Point} at @param {boolean} takes @param {boolean} whole @returns {import("./state.js").Hand | null}
 */
export function grab(at, takes, whole) {
  const handle = handleAt(at);
  const points = handle && state.polygon?.rings[handle.ring];
  if (!handle || !points) return null;
  const { ring, index } = handle;
  if (takes) {
    const left = whole || points.length <= 6 ? [] : points.toSpliced(2 * index, 2);
    if (whole || !handle.edge) send(ring, left);
    return { doing: "idle" };
  }
  if (handle.edge && !whole) show(ring, points.toSpliced(2 * index, 0, at.x, at.y));
  return { doing: "reshaping", ring, index, whole, from: at, moved: handle.edge && !whole, points: state.polygon?.rings[ring] ?? points };
}

/** @param {import("./state.js").Reshaping} hand @param {Point} at */
export function reshapeTo(hand, at) {
  const [dx, dy] = [at.x - hand.from.x, at.y - hand.from.y];
  if (!hand.moved && Math.hypot(dx, dy) * view.scale < 3) return;
  hand.moved = true;
  const points = hand.whole
    ? hand.points.map((value, i) => value + Math.round(i % 2 ? dy : dx))
    : hand.points.toSpliced(2 * hand.index, 2, ...[hand.points[2 * hand.index] + dx, hand.points[2 * hand.index + 1] + dy].map((value) => Math.round(value * 2) / 2));
  show(hand.ring, points);
}

/** @param {import("./state.js").Reshaping} hand @param {boolean} kept */
export function endReshape(hand, kept) {
  const points = state.polygon?.rings[hand.ring];
  if (kept && hand.moved && points) send(hand.ring, points);
  else void refresh();
}

/** @param {number} ring @param {number[]} points */
function show(ring, points) {
  if (!state.polygon) return;
  state.polygon = { ...state.polygon, rings: state.polygon.rings.with(ring, points) };
  emit("polygon");
}

/** @param {number} ring @param {number[]} points */
function send(ring, points) {
  const { polygon } = state;
  const object = active();
  if (!polygon || !object) return;
  void act({ kind: "reshape", object: object.id, tolerance: polygon.tolerance, ring, points }).then((done) => void (done || refresh()));
}

export function startPolygon() {
  slider.addEventListener("input", refresh);
  let last = "";
  follow(["active", "objects", "tool"], () => {
    const now = `${state.polygonOn} ${state.active} ${active()?.mask_id}`;
    if (now !== last) {
      last = now;
      void refresh();
    }
  });
}
