// The status line: what the model is doing, what is saved. Asks often while something is under way, seldom otherwise.
// @ts-check
import { byId } from "./dom.js";
import { get, post } from "./api.js";
import { active, emit, follow, nameOf, state, subscribe } from "./state.js";
import { busy, headOf, lostHold, openImage, reloadImage } from "./actions.js";
import { refreshProject } from "./images.js";
import { proposed } from "./proposals.js";

const OFTEN = 90;
const SOMETIMES = 600;
const SELDOM = 2500;
const HOLD = 15_000;
let held = 0;
let timer = 0;

async function ask() {
  clearTimeout(timer);
  const id = state.image?.id;
  try {
    /** @type {import("./types").Status} */
    const status = await get(id ? `status?image=${id}&frame=${state.image?.frame ?? 0}` : "status");
    if (id === state.image?.id) {
      const learned = status.model.accepts.length !== state.project?.model.accepts.length;
      state.status = status;
      if (state.project) state.project.model = status.model;
      if (!state.problem.startsWith("Not saved")) state.problem = "";
      if (learned) emit("project");
      emit("status");
      if (status.project_head !== state.project?.head || status.images !== state.project?.images) await refreshProject();
      if (id && status.head !== null && status.head > headOf(id) && !busy(id)) await reloadImage();
      if (id && !status.mine && status.holder) lostHold(status.holder);
      if (id && status.stamp && status.stamp !== state.image?.stamp && !busy(id)) await openImage(id);
    }
    if (id && state.image?.mine && performance.now() - held > HOLD && document.visibilityState === "visible") {
      held = performance.now();
      await post(`images/${id}/hold`).catch(() => {});
    }
  } catch (error) {
    if (!state.problem.startsWith("Not saved")) state.problem = /** @type {Error} */ (error).message;
    emit("status", "lost");
  }
  timer = window.setTimeout(ask, underWay() ? OFTEN : state.status?.background.some((work) => work.state === "running") ? SOMETIMES : SELDOM);
}

function underWay() {
  const encoding = state.status?.image?.state;
  return state.status?.model.state === "loading" || encoding === "queued" || encoding === "encoding" || !state.status;
}

/** @returns {[kind: "ready" | "busy" | "failed" | "off", text: string, progress: number | null]} */
function sentence() {
  const model = state.status?.model ?? state.project?.model;
  const image = state.status?.image;
  if (!model) return ["busy", "connecting", null];
  const name = model.adapter ? `${model.name} + your adapter` : model.name;
  if (state.photoProblem) return ["failed", "no photo", null];
  if (model.state === "off") return ["off", `${name} is off`, null];
  if (model.state === "failed") return ["failed", model.message, null];
  if (image?.state === "failed") return ["failed", image.message, null];
  if (image?.state === "encoding") return ["busy", `${name} · encoding ${Math.round(100 * image.progress)} %`, image.progress];
  if (image?.state === "queued" || model.state === "loading") return ["busy", `${name} · loading`, null];
  if (state.pending.length) return ["busy", `${name} · answering`, null];
  if (image?.state === "ready") return ["ready", `${name} · ready${state.lastClick ? ` · ${Math.round(state.lastClick)} ms` : ""}`, null];
  return ["ready", name, null];
}

function draw() {
  const [kind, text, progress] = sentence();
  byId("model-dot").className = `dot ${kind}`;
  const where = byId("model-text");
  if (where.textContent !== text) where.textContent = text;
  byId("model-track").hidden = progress === null;
  const fill = /** @type {HTMLElement} */ (byId("model-track").firstElementChild);
  if (progress !== null) fill.style.width = `${100 * progress}%`;
  const saved = byId("saved");
  const word = state.problem || (state.saving ? "Saving …" : state.image ? "Saved" : "");
  if (saved.textContent !== word) saved.textContent = word;
  saved.classList.toggle("bad", Boolean(state.problem));
}

const REVIEW = "Enter accepts what was found, X rejects it, Esc puts it off";
const VERDICT = "Enter approves, X sends back with a comment on the place under the pointer, Esc puts it off";
const SHAPING = "Green is added, red goes. Enter applies, Esc leaves";
const POLYGON = "Drag a vertex or an edge; right click removes the vertex. Alt: the whole ring";
const PROPOSED = "Click accepts an object, Shift click marks several and Enter merges them, a brush stroke accepts all on its way, Esc puts them away";
const CROSSHAIR = "Arrows move, Enter adds, X removes, Esc leaves the crosshair";

function hint() {
  const last = active()?.prompts.flat().at(-1);
  const hints = {
    click: last?.type === "text" ? `“${last.words}”: click adds what is missing, right click removes` : state.active ? `Editing ${nameOf(state.active)}: click adds, right click removes; a drag outside it or N begins the next` : "Click an object, or drag a box around it; a click on a mask chooses it",
    brush: "Drag paints; the right button erases. [ and ] change the size",
    lasso: "Drag around what to add; with the right button, what to take away",
    eraser: "Drag erases; the right button paints. [ and ] change the size",
    pan: "Drag moves the photo, the wheel zooms",
  };
  const what = state.hand.doing === "reviewing" ? (state.image?.findings.length ? REVIEW : VERDICT) : state.hand.doing === "crosshair" ? CROSSHAIR : state.hand.doing === "shaping" ? SHAPING : proposed.on ? PROPOSED : state.polygonOn && active() ? POLYGON : hints[state.tool];
  byId("hint").textContent = [what, state.image?.shown].filter(Boolean).join(" · ");
}

export function startStatus() {
  follow(["status", "pending", "project", "mask"], draw);
  follow(["tool", "active", "objects", "image", "hand", "polygon"], hint);
  subscribe(["image"], () => void ask());
  hint();
  void ask();
}
