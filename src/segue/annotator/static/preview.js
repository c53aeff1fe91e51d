// The mask that a click would give, shown under a pointer that rests.
// @ts-check
import { askPreview } from "./actions.js";
import { earlyShape } from "./masks.js";
import { seeing } from "./seeing.js";
import { outline, redraw, view } from "./stage.js";
import { state, subscribe } from "./state.js";

const REST = 60; // milliseconds without a move
/** @type {import("./types").Shape | null} */
let shown = null;
let timer = 0;
let asking = false;
/** Counts everything that makes an answer stale. */
let turn = 0;

/** The pointer moved, or something changed: what is shown or on its way is not for here. */
export function forget() {
  turn++;
  clearTimeout(timer);
  if (!shown) return;
  shown = null;
  redraw("marks");
}

/** The pointer is here, and may rest. @param {import("./types").ClickPrompt} click @param {boolean} begins */
export function expect(click, begins) {
  forget();
  if (seeing.ahead) timer = window.setTimeout(() => void ask(click, begins), REST);
}

/** @param {import("./types").ClickPrompt} click @param {boolean} begins */
async function ask(click, begins) {
  if (state.hand.doing !== "idle" || state.pending.length || state.saving || !state.image?.mine || state.status?.image?.state !== "ready") return;
  const mine = turn;
  if (asking) return void (timer = window.setTimeout(() => void ask(click, begins), REST)); // one at a time
  asking = true;
  const began = performance.now();
  const mask = await askPreview([click], begins).finally(() => (asking = false));
  const shape = mask && mine === turn ? await earlyShape(mask) : null;
  if (!shape || mine !== turn) return;
  shown = shape;
  redraw("marks");
  performance.measure("segue:rest-to-preview", { start: began - REST, end: performance.now() });
}

/** @param {CanvasRenderingContext2D} marks */
export function drawPreview(marks) {
  if (!shown) return;
  view.apply(marks);
  marks.globalAlpha = 0.16;
  marks.fillStyle = "#fff";
  marks.fill(shown.path, "evenodd");
  marks.globalAlpha = 0.9;
  marks.setLineDash([4 / view.scale, 3 / view.scale]);
  outline(marks, shown.path, "#fff", 1.5);
  marks.setLineDash([]);
  marks.globalAlpha = 1;
  marks.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
}

export function startPreview() {
  subscribe(["hand", "objects", "active", "image", "pending", "tool", "view"], forget);
}
