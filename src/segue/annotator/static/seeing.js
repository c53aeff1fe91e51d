// How the photo and its masks are seen: opacity, outlines, names, levels of the photo, a magnifier. Nothing of it changes a mask.
// @ts-check
import { byId, h } from "./dom.js";
import { smallest } from "./photo.js";
import { redraw, view } from "./stage.js";
import { follow, nameOf, state } from "./state.js";

const FIRST = { opacity: 40, outline: false, names: false, magnifier: true, ahead: true };
const LEVELS = { low: 0, high: 255, gamma: 1 };
const SPAN = 36; // CSS pixels around the cursor that the magnifier shows
const POWER = 3;
const panel = byId("seeing");
const stage = byId("stage");

/** The choices of this browser. */
export const seeing = { ...FIRST, ...JSON.parse(localStorage.getItem("segue.seeing") ?? "{}"), ...LEVELS };

/** Opacity of a mask's inside. @param {boolean} isActive */
export const fillOf = (isActive) => (seeing.outline ? 0 : (seeing.opacity / 100) * (isActive ? 1 : 0.7));

/** @param {Partial<typeof seeing>} change */
function set(change) {
  Object.assign(seeing, change);
  const { opacity, outline, names, magnifier, ahead } = seeing;
  localStorage.setItem("segue.seeing", JSON.stringify({ opacity, outline, names, magnifier, ahead }));
  show();
  redraw("below", "overlay", "marks");
}

export const toggleOutline = () => set({ outline: !seeing.outline });
export const toggleNames = () => set({ names: !seeing.names });

/** The levels of the photo as a filter: numbers below `low` black, above `high` white, and a gamma between. */
function show() {
  const { low, high, gamma } = seeing;
  const table = Array.from({ length: 256 }, (_, i) => Math.pow(Math.max(0, Math.min(1, (i - low) / Math.max(1, high - low))), 1 / gamma).toFixed(4)).join(" ");
  for (const channel of document.querySelectorAll("#levels [tableValues]")) channel.setAttribute("tableValues", table);
  byId("photo").style.filter = low || high < 255 || gamma !== 1 ? "url(#levels)" : "";
  for (const control of controls) control.show();
}

/** Black and white from the 1st and the 99th percentile of what is seen. */
function auto() {
  const bitmap = smallest();
  if (!bitmap) return;
  const scale = Math.min(1, 512 / Math.max(bitmap.width, bitmap.height));
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(Math.ceil(bitmap.width * scale), Math.ceil(bitmap.height * scale)).getContext("2d"));
  context.drawImage(bitmap, 0, 0, context.canvas.width, context.canvas.height);
  const { data } = context.getImageData(0, 0, context.canvas.width, context.canvas.height);
  const counts = new Array(256).fill(0);
  for (let i = 0; i < data.length; i += 4) counts[Math.max(data[i], data[i + 1], data[i + 2])]++;
  const total = data.length / 4;
  const at = (/** @type {number} */ share) => {
    let seen = 0;
    return counts.findIndex((count) => (seen += count) >= share * total);
  };
  const [low, high] = [at(0.01), at(0.99)];
  set({ low, high: Math.max(high, low + 1), gamma: 1 });
}

/** @type {{show: () => void}[]} */
const controls = [];

/** @param {Exclude<keyof typeof seeing, symbol | number>} key @param {string} label @param {number} min @param {number} max @param {number} step */
function slider(key, label, min, max, step) {
  const text = h("output", { class: "numbers muted" });
  const input = h("input", { type: "range", id: `see-${key}`, min, max, step, oninput: () => set({ [key]: Number(input.value) }) });
  controls.push({ show: () => {
    input.value = String(seeing[key]);
    text.textContent = step < 1 ? Number(seeing[key]).toFixed(2) : String(seeing[key]) + (key === "opacity" ? " %" : "");
  } });
  return h("label", { class: "see" }, h("span", {}, label), input, text);
}

/** @param {Exclude<keyof typeof seeing, symbol | number>} key @param {string} label */
function box(key, label) {
  const input = h("input", { type: "checkbox", id: `see-${key}`, onchange: () => set({ [key]: input.checked }) });
  controls.push({ show: () => (input.checked = Boolean(seeing[key])) });
  return h("label", { class: "row" }, input, label);
}

export function toggleSeeing() {
  panel.hidden = !panel.hidden;
  if (panel.hidden) stage.focus();
  else /** @type {HTMLElement | null} */ (panel.querySelector("input"))?.focus();
}

/** The names of the objects at their upper left corners, as far as they are seen. @param {CanvasRenderingContext2D} marks */
export function drawNames(marks) {
  if (!seeing.names || !state.overlays) return;
  marks.font = "600 12px system-ui, sans-serif";
  marks.textBaseline = "middle";
  for (const { id, shape, hidden } of state.objects) {
    if (!shape || hidden || !shape.area) continue;
    const at = view.toScreen({ x: (shape.box[0] + shape.box[2]) / 2, y: shape.box[1] });
    if (at.x < 0 || at.y < 0 || at.x > view.width || at.y > view.height) continue;
    const name = nameOf(id);
    const width = marks.measureText(name).width + 12;
    const top = Math.max(2, at.y - 22);
    marks.fillStyle = "#101214d9";
    marks.beginPath();
    marks.roundRect(at.x - width / 2, top, width, 20, 5);
    marks.fill();
    marks.fillStyle = "#fff";
    marks.fillText(name, at.x - width / 2 + 6, top + 10.5);
  }
}

/** What lies under the cursor, larger, beside it. @param {CanvasRenderingContext2D} marks @param {import("./types").Point} point in image pixels @param {Path2D} [cursor] */
export function drawMagnifier(marks, point, cursor) {
  if (!seeing.magnifier) return;
  const at = view.toScreen(point);
  const radius = (SPAN * POWER) / 2;
  const x = at.x + (at.x > view.width - 2 * radius - 60 ? -1 : 1) * (radius + 40);
  const y = Math.max(radius + 10, at.y - radius - 40);
  const { ratio } = view;
  const from = [(at.x - SPAN / 2) * ratio, (at.y - SPAN / 2) * ratio, SPAN * ratio, SPAN * ratio];
  marks.save();
  marks.setTransform(ratio, 0, 0, ratio, 0, 0);
  marks.beginPath();
  marks.arc(x, y, radius, 0, 7);
  marks.clip();
  marks.fillStyle = "#101214";
  marks.fill();
  marks.imageSmoothingEnabled = false;
  for (const id of ["photo", "overlay"]) {
    marks.filter = id === "photo" ? byId("photo").style.filter || "none" : "none";
    marks.drawImage(/** @type {HTMLCanvasElement} */ (byId(id)), ...(/** @type {[number, number, number, number]} */ (from)), x - radius, y - radius, 2 * radius, 2 * radius);
  }
  marks.filter = "none";
  if (cursor) {
    const scale = view.scale * POWER * ratio;
    marks.setTransform(scale, 0, 0, scale, (x - point.x * view.scale * POWER) * ratio, (y - point.y * view.scale * POWER) * ratio);
    for (const [colour, width] of /** @type {[string, number][]} */ ([["#000c", 3], ["#fff", 1.4]])) {
      marks.strokeStyle = colour;
      marks.lineWidth = width / (view.scale * POWER);
      marks.stroke(cursor);
    }
  }
  marks.restore();
  marks.beginPath();
  marks.arc(x, y, radius, 0, 7);
  for (const [colour, width] of /** @type {[string, number][]} */ ([["#000a", 4], ["#fff", 2]])) {
    marks.strokeStyle = colour;
    marks.lineWidth = width;
    marks.stroke();
  }
}

export function startSeeing() {
  panel.append(
    h("h2", {}, "View"),
    slider("opacity", "Opacity", 0, 100, 1), box("outline", "Outlines only"), box("names", "Names on the photo"), box("magnifier", "Magnifier while painting"), box("ahead", "Mask before the click"),
    h("h2", {}, "Photo"),
    slider("low", "Black", 0, 254, 1), slider("high", "White", 1, 255, 1), slider("gamma", "Gamma", 0.2, 4, 0.05),
    h("div", { class: "row" },
      h("button", { class: "quiet grow", id: "see-auto", onclick: auto, title: "Black and white from the photo's own numbers" }, "Auto"),
      h("button", { class: "quiet grow", id: "see-reset", onclick: () => set(LEVELS) }, "As it is")),
  );
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    toggleSeeing();
  });
  stage.addEventListener("pointerdown", () => (panel.hidden = true));
  let seen = 0;
  follow(["image"], () => {
    if (seen !== state.image?.id) set(LEVELS); // the frames of a clip share them
    seen = state.image?.id ?? 0;
  });
  show();
}
