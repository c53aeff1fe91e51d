// The tools and the view: which tool the hand holds, how large the brush is, how near the photo.
// @ts-check
import { byId } from "./dom.js";
import { redrawAll, view } from "./stage.js";
import { emit, follow, state } from "./state.js";

const stage = byId("stage");

/** @param {number} factor */
export function zoomBy(factor) {
  view.zoom(factor, { x: view.width / 2, y: view.height / 2 });
  redrawAll();
}

export function fitPhoto() {
  view.fit();
  redrawAll();
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

export function startTools() {
  follow(["tool"], () => {
    stage.classList.toggle("brush", state.tool === "brush" || state.tool === "eraser");
    stage.classList.toggle("pan", state.tool === "pan");
  });
}
