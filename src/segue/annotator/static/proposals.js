// Proposals: outlines of every object that the model can tell, accepted by a click, merged, or by a stroke over several.
// @ts-check
import { newId, get, post, request } from "./api.js";
import { act, notify } from "./actions.js";
import { byId } from "./dom.js";
import { earlyShape } from "./masks.js";
import { forget } from "./preview.js";
import { outline, redraw, view } from "./stage.js";
import { emit, follow, objectOf, state, subscribe } from "./state.js";
/** @typedef {import("./types").Point} Point */
/** @typedef {{sent: {pixels: import("./types").Runs, score: number}, shape: import("./types").Shape, object: string, sending: boolean}} Proposal */

const stage = byId("stage");
const ASK = 200; // milliseconds
const probe = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
/** What the page shows, the surest first; `on` while it is shown. @type {{on: boolean, all: Proposal[]}} */
export const proposed = { on: false, all: [] };
/** Chosen to become one object. @type {Set<Proposal>} */
let marked = new Set();
/** What a stroke has come across, and where it is. @type {{found: Set<Proposal>, last: Point} | null} */
let stroke = null;
/** @type {Proposal | null} */
let hovered = null;
/** Where a search runs or its result is shown. @type {string} */
let where = "";
let turn = 0;

const here = () => `images/${state.image?.id}/proposals?frame=${state.image?.frame ?? 0}`;

/** Those that are not accepted; an undo brings them back. */
const open = () => (proposed.on ? proposed.all.filter((one) => !one.sending && !objectOf(one.object)) : []);

/** Look for every object of the open image. */
export async function propose() {
  if (!state.image?.mine) return;
  if (where) return void putAway();
  const mine = ++turn;
  const path = (where = here());
  try {
    let seen = show(await post(path));
    while (mine === turn && seen.state === "running") {
      await new Promise((done) => setTimeout(done, ASK));
      if (mine === turn) seen = show(await get(path));
    }
    if (mine !== turn) return;
    if (seen.state !== "done") throw new Error(seen.message || "The search for objects ended.");
    const all = await Promise.all(
      seen.proposals.map(async ({ score, ...mask }) => ({ sent: { pixels: { box: mask.box, data: mask.data }, score }, shape: await earlyShape(mask), object: "", sending: false })),
    );
    if (mine !== turn) return;
    Object.assign(proposed, { on: all.length > 0, all });
    if (!all.length) where = "";
    notify(all.length ? `${all.length} proposals: click accepts one, Esc puts them away.` : "The model proposes nothing here.");
  } catch (error) {
    if (mine !== turn) return;
    where = "";
    notify(/** @type {Error} */ (error).message, { bad: true });
  }
  emit("tool");
  redraw("marks");
}

/** The status line's chip follows. @param {import("./types").Proposals} seen */
function show(seen) {
  if (state.status) {
    const others = state.status.background.filter((one) => one.kind !== "propose");
    state.status.background = [...others, { kind: "propose", state: seen.state, progress: seen.progress, message: seen.message }];
    emit("status");
  }
  return seen;
}

/** No proposals any more; false where there were none. */
export function putAway() {
  if (!where) return false;
  turn++;
  request("DELETE", where).catch(() => {});
  where = "";
  Object.assign(proposed, { on: false, all: [] });
  marked = new Set();
  stroke = hovered = null;
  show({ state: "idle", progress: 0, message: "", proposals: [] });
  emit("tool");
  redraw("marks");
  return true;
}

/** The smallest under a point: a part before its whole. @param {Point} at @returns {Proposal | null} */
function under(at) {
  const holds = (/** @type {Proposal} */ { shape: { box, path } }) =>
    at.x >= box[0] && at.y >= box[1] && at.x < box[2] && at.y < box[3] && probe.isPointInPath(path, at.x, at.y, "evenodd");
  return open().filter(holds).sort((a, b) => a.shape.area - b.shape.area)[0] ?? null;
}

/** Each group becomes one object, all of them in one action. @param {Proposal[][]} groups */
async function accept(groups) {
  const named = groups.map((group) => ({ id: newId(), group }));
  for (const { id, group } of named) for (const one of group) Object.assign(one, { object: id, sending: true });
  marked = new Set();
  hovered = null;
  redraw("marks");
  const adopted = Object.fromEntries(named.map(({ id, group }) => [id, group.map((one) => one.sent)]));
  await act({ kind: "adopt", adopted, label: state.label });
  for (const one of groups.flat()) one.sending = false;
  redraw("marks");
}

/** A click or the crosshair's Enter: accept what is here, with what is marked; `marks` only marks it. False where nothing is. @param {Point} at @param {boolean} marks */
export function takeAt(at, marks) {
  const one = under(at);
  if (!one) return false;
  if (marks) {
    if (!marked.delete(one)) marked.add(one);
    redraw("marks");
  } else void accept([[...new Set([...marked, one])]]);
  return true;
}

/** What is marked becomes one object; false where nothing is. */
export function acceptMarked() {
  if (!marked.size) return false;
  void accept([[...marked]]);
  return true;
}

/** @param {PointerEvent} event @returns {Point} */
function place(event) {
  const box = stage.getBoundingClientRect();
  return view.toImage({ x: event.clientX - box.left, y: event.clientY - box.top });
}

/** @param {PointerEvent} event */
function down(event) {
  if (!event.isPrimary) stroke = null; // two fingers move the photo
  if (!proposed.on || !event.isPrimary || event.button || state.tool !== "brush" || stage.classList.contains("pan")) return;
  if (state.hand.doing !== "idle" && state.hand.doing !== "crosshair") return;
  const at = place(event);
  stroke = { found: new Set(), last: at };
  stage.setPointerCapture(event.pointerId);
  along(at);
  event.stopImmediatePropagation();
  stage.focus({ preventScroll: true });
}

/** The stroke goes on to here. @param {Point} at */
function along(at) {
  if (!stroke) return;
  const { last, found } = stroke;
  const steps = Math.max(1, Math.ceil(Math.hypot(at.x - last.x, at.y - last.y)));
  for (let i = 0; i <= steps; i++) {
    const one = under({ x: last.x + ((at.x - last.x) * i) / steps, y: last.y + ((at.y - last.y) * i) / steps });
    if (one) found.add(one);
  }
  stroke.last = at;
  redraw("marks");
}

/** @param {PointerEvent} event */
function move(event) {
  if (!proposed.on) return;
  const at = place(event);
  along(at);
  const now = state.tool === "click" && !event.buttons ? under(at) : null;
  if (now) forget();
  if (now !== hovered) redraw("marks");
  hovered = now;
}

/** @param {PointerEvent} event */
function up(event) {
  if (!stroke) return;
  const { found } = stroke;
  stroke = null;
  if (event.type === "pointerup" && found.size) void accept([...found].map((one) => [one]));
  else if (event.type === "pointerup") notify("No proposal lies under the stroke. Esc puts the proposals away.");
  redraw("marks");
}

/** @param {CanvasRenderingContext2D} marks */
export function drawProposals(marks) {
  const shown = open();
  if (!shown.length) return;
  view.apply(marks);
  for (const one of shown.toReversed()) {
    const chosen = marked.has(one) || stroke?.found.has(one);
    marks.globalAlpha = chosen ? 0.4 : one === hovered ? 0.2 : 0;
    marks.fillStyle = "#fff";
    if (marks.globalAlpha) marks.fill(one.shape.path, "evenodd");
    marks.globalAlpha = 1;
    marks.setLineDash(chosen ? [] : [4 / view.scale, 3 / view.scale]);
    outline(marks, one.shape.path, "#ffe08a", chosen || one === hovered ? 2 : 1.2);
  }
  marks.setLineDash([]);
  marks.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
}

export function startProposals() {
  stage.addEventListener("pointerdown", down, { capture: true });
  stage.addEventListener("pointermove", move);
  stage.addEventListener("pointerup", up);
  stage.addEventListener("pointercancel", up);
  subscribe(["image"], () => void (where && where !== here() && putAway()));
  follow(["objects", "tool"], () => redraw("marks"));
}
