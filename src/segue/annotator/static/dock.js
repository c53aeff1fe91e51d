// The tools over the photo: modes, words, undo, zoom, polygon view.
// @ts-check
import { byId, h, icon } from "./dom.js";
import { get } from "./api.js";
import { keysOf, runCommand } from "./keys.js";
import { view } from "./stage.js";
import { active, emit, follow, state } from "./state.js";
import { prompt } from "./actions.js";
import { choose, setBrush } from "./tools.js";
/** @typedef {import("./dom.js").IconName} IconName */

/** @param {string} command @param {IconName} name @param {string} label */
function tool(command, name, label) {
  const keys = keysOf(command);
  return h("button", { class: "icon", id: `do-${command}`, title: keys ? `${label} (${keys})` : label, "aria-label": label, onclick: () => runCommand(command) }, icon(name));
}

export function startDock() {
  const size = h("input", { type: "range", min: "0", max: "100", "aria-label": "Brush size", oninput: () => setBrush(radiusAt(Number(size.value))) });
  const sizeBox = h("label", { class: "size", hidden: true }, size, h("span", { class: "numbers" }));
  const words = h("input", { type: "text", id: "words", placeholder: "Describe it …", "aria-label": "What to segment, in words", autocomplete: "off" });
  words.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && words.value.trim()) {
      void prompt([{ type: "text", words: words.value.trim() }], { at: event.timeStamp });
      words.value = "";
      byId("stage").focus();
    } else if (event.key === "Escape") byId("stage").focus();
  });
  const modes = [
    ["click", tool("tool-click", "click", "Click and box")], ["brush", tool("tool-brush", "brush", "Brush")],
    ["eraser", tool("tool-eraser", "eraser", "Eraser")], ["pan", tool("tool-pan", "hand", "Move the photo")],
  ];
  const undo = tool("undo", "undo", "Undo");
  const redo = tool("redo", "redo", "Redo");
  const polygon = tool("polygon", "polygon", "Polygon view");
  const fresh = tool("new", "plus", "Next object");
  byId("dock").append(
    ...modes.map(([, button]) => button), sizeBox, words, h("span", { class: "rule" }), undo, redo, h("span", { class: "rule" }), polygon, fresh,
  );
  byId("zoom").append(tool("zoom-in", "plus", "Zoom in"), tool("zoom-out", "minus", "Zoom out"), tool("fit", "fit", "Fit the photo"));
  byId("zoom-text").addEventListener("click", () => runCommand("fit"));

  const update = () => {
    for (const [name, button] of modes) button.setAttribute("aria-pressed", String(state.tool === name));
    sizeBox.hidden = state.tool !== "brush" && state.tool !== "eraser";
    size.value = String(valueAt(state.brush));
    sizeBox.lastElementChild.textContent = `${state.brush} px`;
    undo.disabled = !state.image?.can_undo;
    redo.disabled = !state.image?.can_redo;
    words.hidden = !state.project?.model.accepts.includes("text");
    polygon.disabled = !active();
    polygon.setAttribute("aria-pressed", String(state.polygonOn));
    fresh.disabled = !state.active;
    byId("polygon").hidden = !state.polygonOn || !active();
  };
  follow(["tool", "objects", "active", "image", "project", "status", "polygon"], update);
  follow(["view"], () => (byId("zoom-text").textContent = `${Math.round(view.scale * 100)} %`));
  startPolygon();
  update();
}

/** Slider to radius in image pixels: fine where brushes are small. @param {number} value */
const radiusAt = (value) => 0.5 * Math.pow(600, value / 100);
/** @param {number} radius */
const valueAt = (radius) => (100 * Math.log(radius / 0.5)) / Math.log(600);

/** Slider to tolerance in pixels: all the way to the right follows the mask exactly. @param {number} value */
const toleranceAt = (value) => (value >= 100 ? 0 : 0.3 * Math.pow(60, (100 - value) / 100));

function startPolygon() {
  const slider = /** @type {HTMLInputElement} */ (byId("detail"));
  let turn = 0;
  const refresh = async () => {
    const object = active();
    if (!state.polygonOn || !object || !state.image) {
      if (state.polygon) {
        state.polygon = null;
        emit("polygon");
      }
      return;
    }
    const mine = ++turn;
    const tolerance = toleranceAt(Number(slider.value));
    const polygon = await get(`images/${state.image.id}/objects/${object.id}/polygon?tolerance=${tolerance.toFixed(3)}`).catch(() => null);
    if (mine !== turn || !state.polygonOn) return;
    state.polygon = polygon;
    byId("polygon-text").textContent = polygon
      ? `${polygon.points} points in ${polygon.rings.length} ${polygon.rings.length === 1 ? "ring" : "rings"} · IoU ${polygon.iou.toFixed(polygon.iou > 0.999 ? 4 : 3)}`
      : "";
    emit("polygon");
  };
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

export function togglePolygon() {
  state.polygonOn = !state.polygonOn && Boolean(active());
  if (state.polygonOn) choose("click");
  emit("tool", "polygon");
}
