// The timeline of a clip: frames, key frames, what was propagated and how sure it is.
// @ts-check
import { byId, h } from "./dom.js";
import { get, post } from "./api.js";
import { act, notify, openImage, reloadImage } from "./actions.js";
import { keysOf, runCommand } from "./keys.js";
import { active, colourOf, follow, objectOf, state, subscribe } from "./state.js";
/** @typedef {import("./types").Timeline} Timeline */
/** @typedef {import("./types").Track} Track */

const LANE = 16;
const EDGE = 14;
const FASTEST = 15; // frames a second
const POLL = 400; // milliseconds
/** @type {Timeline | null} */
let line = null;
let playing = 0;
let asking = 0;
let opened = 0;

const box = byId("timeline");
const canvas = h("canvas", { id: "lanes", tabIndex: 0, role: "slider", "aria-label": "Frame", "aria-valuemin": 1 });
const text = h("span", { id: "frame-text", class: "about" });
const busy = h("span", { id: "propagate-text", class: "about grow ellipsis" });
const axes = h("select", { "aria-label": "Axis of the slices", onchange: () => void turn(Number(axes.value)) }, ...["Axis 1", "Axis 2", "Axis 3"].map((name, i) => h("option", { value: String(i) }, name)));

/** @type {[string, string, string[], () => void][]} */
export const clipCommands = [
  ["play", "Play or pause the clip", ["Y"], () => void (playing ? pause() : play())],
  ["frame-back", "Frame before", ["<", "Shift+<"], () => step(-1)],
  ["frame-on", "Next frame", [">", "Shift+>"], () => step(1)],
  ["key-back", "Key frame before", ["Shift+PageUp"], () => stepKey(-1)],
  ["key-on", "Next key frame", ["Shift+PageDown"], () => stepKey(1)],
  ["least-sure", "Frame that is least sure", ["U"], leastSure],
  ["propagate-back", "Propagate backward", ["Shift+U"], () => propagate("backward")],
  ["propagate-on", "Propagate forward", ["Shift+Y"], () => propagate("forward")],
  ["propagate-both", "Propagate through the whole clip", ["Shift+J"], () => propagate("both")],
  ["propagate-between", "Propagate between the key frames beside this one", ["Shift+K"], () => propagate("between")],
  ["gone", "The object is gone from here on, or back", ["Shift+G"], gone],
];

/** @param {"forward" | "backward" | "both" | "between"} direction */
async function propagate(direction) {
  if (!state.image?.frames) return;
  pause();
  if (await act({ kind: "propagate", direction })) void refresh();
}

function gone() {
  const object = active();
  if (!state.image?.frames) return;
  if (!object) return notify("Choose the object first, in the frame or in the list.");
  void act({ kind: "mark", object: object.id, mark: object.mark === "gone" ? "back" : "gone" });
}

/** @param {number} axis */
async function turn(axis) {
  const id = state.image?.id;
  if (!id) return;
  await act({ kind: "axis", axis });
  await openImage(id, { frame: 0 });
}

/** Go to a frame. @param {number} frame @param {boolean} [look] without encoding it */
export async function goTo(frame, look = false) {
  const image = state.image;
  if (!image?.frames) return;
  const wanted = Math.max(0, Math.min(image.frames - 1, frame));
  if (wanted === image.frame && look) return;
  await openImage(image.id, { frame: wanted, history: false, look }).catch((error) => notify(error.message, { bad: true }));
}

/** @param {number} by */
function step(by) {
  pause();
  void goTo((state.image?.frame ?? 0) + by);
}

/** @param {number} by */
function stepKey(by) {
  const here = state.image?.frame ?? 0;
  const keys = (line?.objects ?? []).flatMap((track) => track.keys.map((key) => key.frame)).sort((a, b) => by * (a - b));
  const next = keys.find((frame) => by * (frame - here) > 0);
  if (next !== undefined) void goTo(next);
}

function leastSure() {
  const tracks = (line?.objects ?? []).filter((track) => !state.active || track.id === state.active);
  let best = { frame: -1, score: 2 };
  for (const track of tracks) {
    const keys = new Set(track.keys.map((key) => key.frame));
    track.frames.forEach((frame, i) => {
      if (!keys.has(frame) && !goneAt(track, frame) && track.scores[i] < best.score) best = { frame, score: track.scores[i] };
    });
  }
  if (best.frame < 0) return notify("Nothing was propagated yet.");
  void goTo(best.frame);
}

/** @param {Track} track @param {number} frame */
const goneAt = (track, frame) => track.keys.findLast((key) => key.frame <= frame)?.mark === "gone";

async function play() {
  const image = state.image;
  if (!image?.frames) return;
  const mine = (playing = performance.now());
  drawControls();
  if (image.frame === image.frames - 1) await goTo(0, true);
  while (playing === mine && state.image?.id === image.id && state.image.frame < image.frames - 1) {
    const due = performance.now() + 1000 / Math.min(image.rate || FASTEST, FASTEST);
    await goTo(state.image.frame + 1, true);
    await new Promise((done) => setTimeout(done, Math.max(0, due - performance.now())));
  }
  if (playing === mine) pause();
}

function pause() {
  if (!playing) return;
  playing = 0;
  drawControls();
  void goTo(state.image?.frame ?? 0); // now it is encoded
}

/** What the server knows of the timeline, again while something is under way. */
async function refresh() {
  clearTimeout(asking);
  const image = state.image;
  if (!image?.frames) return;
  const now = await get(`images/${image.id}/timeline`).catch(() => null);
  if (!now || state.image?.id !== image.id) return;
  const ran = line?.state === "running";
  line = now;
  draw();
  const { frame } = state.image;
  const news = line?.objects.some((track) => track.frames.includes(frame) && objectOf(track.id)?.mark === "");
  if (news || (ran && now.state !== "running")) {
    await reloadImage();
  }
  if (now.state === "running") asking = window.setTimeout(() => void refresh(), POLL);
}

/** Where a frame lies on the line, in CSS pixels. @param {number} frame */
function xOf(frame) {
  const last = Math.max(1, (state.image?.frames ?? 1) - 1);
  return EDGE + (frame / last) * (canvas.clientWidth - 2 * EDGE);
}

/** @param {PointerEvent} event */
function frameAt(event) {
  const x = event.clientX - canvas.getBoundingClientRect().left;
  return Math.round(((x - EDGE) / (canvas.clientWidth - 2 * EDGE)) * ((state.image?.frames ?? 1) - 1));
}

function draw() {
  const image = state.image;
  if (!image?.frames) return;
  const tracks = line?.objects ?? [];
  const height = Math.max(60, 12 + LANE * tracks.length + 34);
  const ratio = devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(height * ratio);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.scale(ratio, ratio);
  const style = getComputedStyle(box);
  const [ink, faint] = [style.getPropertyValue("--text"), style.getPropertyValue("--line")];
  const wide = Math.max(1.5, xOf(1) - xOf(0));
  tracks.forEach((track, row) => drawTrack(context, track, 10 + LANE * row, wide, faint));
  const shown = tracks.find((track) => track.id === state.active) ?? tracks[0];
  if (shown) drawScores(context, shown, height - 30, wide);
  for (const frame of line?.broken ?? []) {
    context.fillStyle = "#E5484D";
    context.fillRect(xOf(frame) - wide / 2, height - 4, wide, 4);
  }
  context.fillStyle = ink;
  context.fillRect(xOf(image.frame) - 1, 0, 2, height);
  drawControls();
}

/** @param {CanvasRenderingContext2D} context @param {Track} track @param {number} y @param {number} wide @param {string} faint */
function drawTrack(context, track, y, wide, faint) {
  const colour = colourOf(objectOf(track.id) ?? { id: track.id, label: null });
  context.fillStyle = faint;
  context.fillRect(EDGE, y + 5, canvas.clientWidth - 2 * EDGE, 1);
  context.fillStyle = colour;
  track.frames.forEach((frame, i) => {
    if (!track.seen[i] || goneAt(track, frame)) return;
    context.globalAlpha = track.id === state.active ? 0.75 : 0.45;
    context.fillRect(xOf(frame) - wide / 2, y + 2, wide, 7);
  });
  context.globalAlpha = 1;
  for (const { frame, mark } of track.keys) {
    const x = xOf(frame);
    context.beginPath();
    if (mark === "mask") context.roundRect(x - 4, y + 1, 9, 9, 2);
    else context.arc(x, y + 5.5, 4, 0, 7);
    context.lineWidth = 1.5;
    context.strokeStyle = mark === "mask" ? "#fff" : colour;
    if (mark !== "gone") context.fill();
    context.stroke();
  }
}

/** How sure it is, from 0 below to 1 above. @param {CanvasRenderingContext2D} context @param {Track} track @param {number} y @param {number} wide */
function drawScores(context, track, y, wide) {
  context.strokeStyle = colourOf(objectOf(track.id) ?? { id: track.id, label: null });
  context.lineWidth = 1.5;
  context.beginPath();
  track.frames.forEach((frame, i) => {
    const at = y + 24 * (1 - track.scores[i]);
    if (i && track.frames[i - 1] === frame - 1) context.lineTo(xOf(frame), at);
    else context.moveTo(xOf(frame) - wide / 2, at);
  });
  context.stroke();
}

/** @param {string} command @param {string} label */
function button(command, label) {
  const keys = keysOf(command);
  return h("button", { class: "quiet", id: `do-${command}`, title: keys ? `${keys}` : label, onclick: () => runCommand(command) }, label);
}

/** @type {Record<string, HTMLButtonElement>} */
const buttons = {};

function drawControls() {
  const image = state.image;
  if (!image?.frames) return;
  const running = line?.state === "running";
  const time = image.kind === "video" ? ` · ${(image.frame / (image.rate || 1)).toFixed(2)} s` : image.spacing ? ` · ${(image.frame * image.spacing[image.axis]).toFixed(1)} mm` : "";
  text.textContent = `${image.frame + 1} / ${image.frames}${time}`;
  canvas.setAttribute("aria-valuemax", String(image.frames));
  canvas.setAttribute("aria-valuenow", String(image.frame + 1));
  buttons.play.textContent = playing ? "Pause" : "Play";
  buttons.gone.textContent = active()?.mark === "gone" ? "Back" : "Gone";
  buttons.gone.disabled = !active();
  for (const name of ["propagate-back", "propagate-on", "propagate-both", "propagate-between"]) buttons[name].hidden = running;
  buttons.stop.hidden = !running;
  axes.hidden = image.kind !== "stack";
  axes.value = String(image.axis);
  axes.disabled = state.objects.length > 0;
  axes.title = axes.disabled ? "Chosen before anything is drawn" : "";
  const broken = line?.broken.length ? ` · ${line.broken.length} broken ${line.broken.length === 1 ? "frame" : "frames"} stepped over` : "";
  busy.textContent = running || line?.state === "failed" ? line?.message ?? "" : broken.slice(3);
}

/** @param {KeyboardEvent} event */
function steer(event) {
  const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: -10, PageDown: 10 }[event.key];
  if (by === undefined && event.key !== "Home" && event.key !== "End") return;
  event.preventDefault();
  event.stopPropagation();
  pause();
  void goTo(event.key === "Home" ? 0 : event.key === "End" ? (state.image?.frames ?? 1) - 1 : (state.image?.frame ?? 0) + Number(by));
}

/** @param {PointerEvent} event */
function drag(event) {
  pause();
  canvas.setPointerCapture(event.pointerId);
  void goTo(frameAt(event), true);
  const move = (/** @type {PointerEvent} */ moved) => void goTo(frameAt(moved), true);
  canvas.addEventListener("pointermove", move);
  canvas.addEventListener("pointerup", (/** @type {PointerEvent} */ end) => (canvas.removeEventListener("pointermove", move), void goTo(frameAt(end))), { once: true });
}

export function startClip() {
  const names = /** @type {[string, string][]} */ ([["frame-back", "◂"], ["play", "Play"], ["frame-on", "▸"], ["least-sure", "Least sure"], ["gone", "Gone"], ["propagate-back", "◂ Propagate"], ["propagate-both", "Propagate all"], ["propagate-on", "Propagate ▸"], ["propagate-between", "Between keys"]]);
  for (const [command, label] of names) buttons[command] = button(command, label);
  buttons.stop = h("button", { class: "primary", id: "propagate-stop", onclick: () => void post("propagate/stop").then(refresh) }, "Stop");
  const [back, playButton, on, ...rest] = names.map(([command]) => buttons[command]);
  back.setAttribute("aria-label", "Frame before");
  on.setAttribute("aria-label", "Next frame");
  box.append(h("div", { class: "row" }, back, playButton, on, text, ...rest, buttons.stop, axes, busy), h("div", { class: "lanes" }, canvas));
  canvas.addEventListener("pointerdown", drag);
  canvas.addEventListener("keydown", steer);
  subscribe(["image"], () => {
    const image = state.image;
    box.hidden = !image?.frames;
    byId("work").classList.toggle("clip", !box.hidden);
    if (opened !== image?.id) {
      line = null;
      playing = 0;
    }
    opened = image?.id ?? 0;
  });
  follow(["image", "objects"], () => void (playing ? draw() : refresh()));
  follow(["active", "project"], draw);
  new ResizeObserver(draw).observe(canvas);
}
