// The tools over the photo: modes, words, undo, zoom, polygon view.
// @ts-check
import { byId, h, icon } from "./dom.js";
import { keysOf, runCommand } from "./keys.js";
import { view } from "./stage.js";
import { active, follow, state } from "./state.js";
import { prompt } from "./actions.js";
import { proposed } from "./proposals.js";
import { setBrush } from "./tools.js";
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
    ["eraser", tool("tool-eraser", "eraser", "Eraser")], ["lasso", tool("tool-lasso", "lasso", "Lasso")], ["pan", tool("tool-pan", "hand", "Move the photo")],
  ];
  const undo = tool("undo", "undo", "Undo");
  const redo = tool("redo", "redo", "Redo");
  const polygon = tool("polygon", "polygon", "Polygon view");
  const shaping = tool("shape", "sliders", "Shape the mask");
  const proposing = tool("propose", "spark", "Propose objects");
  const fresh = tool("new", "plus", "Next object");
  byId("dock").append(
    ...modes.map(([, button]) => button), sizeBox, words, h("span", { class: "rule" }), undo, redo, h("span", { class: "rule" }), polygon, shaping, proposing, fresh,
  );
  byId("zoom").append(tool("see", "eye", "View"), tool("zoom-in", "plus", "Zoom in"), tool("zoom-out", "minus", "Zoom out"), tool("fit", "fit", "Fit the photo"));
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
    shaping.disabled = !active();
    shaping.setAttribute("aria-pressed", String(state.hand.doing === "shaping"));
    proposing.disabled = !state.image?.mine || !state.project?.model.accepts.includes("click");
    proposing.setAttribute("aria-pressed", String(proposed.on));
    fresh.disabled = !state.active;
    byId("polygon").hidden = !state.polygonOn || !active() || state.hand.doing === "shaping";
  };
  follow(["tool", "objects", "active", "image", "project", "status", "polygon", "hand"], update);
  follow(["view"], () => (byId("zoom-text").textContent = `${Math.round(view.scale * 100)} %`));
  update();
}

/** Slider to radius in image pixels: fine where brushes are small. @param {number} value */
const radiusAt = (value) => 0.5 * Math.pow(600, value / 100);
/** @param {number} radius */
const valueAt = (radius) => (100 * Math.log(radius / 0.5)) / Math.log(600);
