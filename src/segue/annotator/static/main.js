// Starts the page.
// @ts-check
import { byId, h, icon } from "./dom.js";
import { WINDOW, get, newId, post } from "./api.js";
import { startAttributes } from "./attributes.js";
import { startDock } from "./dock.js";
import { startPolygon, togglePolygon } from "./polygon.js";
import { applyShaping, openShaping, startShaping } from "./shape.js";
import { showExport, showMenu } from "./exchange.js";
import { startHand, clickAt, holdSpace, leave, moveCrosshair } from "./hand.js";
import { startGrid, toggleGrid } from "./grid.js";
import { close, go, nextImage, nextUnfinished, previousImage, reopen, startImages, undoClosing } from "./images.js";
import { addCommand, addPhotoKey, keysOf, showKeys, startKeys } from "./keys.js";
import { chooseLabelAt, searchLabels, startLabels } from "./labels.js";
import { startLoop } from "./loop.js";
import { decide, startReview, startReviewing, write } from "./review.js";
import { copyToNext, removeObject, startObjects, toggle } from "./objects.js";
import { emit, follow, state, subscribe } from "./state.js";
import { startMarks } from "./marks.js";
import { startPreview } from "./preview.js";
import { acceptMarked, propose, putAway, startProposals, takeAt } from "./proposals.js";
import { startPhoto } from "./photo.js";
import { redraw, startStage } from "./stage.js";
import { startSeeing, toggleNames, toggleOutline, toggleSeeing } from "./seeing.js";
import { clipCommands, startClip } from "./clip.js";
import { startStatus } from "./status.js";
import { choose, fitPhoto, setBrush, startTools, zoomBy } from "./tools.js";
import { act, busy, finishObject, notify, setNotify } from "./actions.js";

const theme = localStorage.getItem("segue.theme");
if (theme) document.documentElement.dataset.theme = theme;

function commands() {
  /** @param {string} group @param {[string, string, string[], () => void, (() => void)?][]} rows */
  const add = (group, rows) => rows.forEach(([name, title, keys, run, release]) => addCommand({ group, name, title, keys, run, release }));
  add("Objects", [
    ["new", "Finish the object; the next click begins another", ["N"], finishObject],
    ["leave", "Leave what the hand is doing, then the object", ["Escape"], () => void (putAway() || leave())],
    ["undo", "Undo", ["Ctrl+Z"], () => void (state.image?.can_undo || busy(state.image?.id ?? 0) ? act({ kind: "undo" }) : undoClosing())],
    ["redo", "Redo", ["Ctrl+Shift+Z", "Ctrl+Y"], () => state.image?.can_redo ? void act({ kind: "redo" }) : undefined],
    ["remove", "Remove the object", ["Delete", "Backspace"], () => removeObject(state.active)],
    ["lock", "Lock or unlock the object", ["L"], () => toggle(state.active, "locked")],
    ["hide", "Hide or show the object", ["V"], () => toggle(state.active, "hidden")],
    ["copy", "Copy the object to the next image", ["K"], () => void copyToNext(state.active)],
    ["polygon", "Polygon view: its vertices can be moved", ["P"], togglePolygon],
    ["propose", "Propose objects: click accepts one, Shift click marks several to merge, a brush stroke accepts all on its way", ["Shift+P"], () => void propose()],
    ["shape", "Shape the mask: holes, islands, edges", ["G"], openShaping],
  ]);
  add("Images", [
    ["accept", "Accept the image and go to the next; accept what was found", ["Enter"], accept],
    ["reject", "Reject what was found; send the reviewed image back", ["X"], () => void (state.hand.doing === "reviewing" && decide(false))],
    ["reopen", "Open the image again", ["O"], () => void reopen()],
    ["skip", "Skip the image", ["S"], () => void close("skipped")],
    ["next", "Next image", ["PageDown", "."], () => void nextImage()],
    ["previous", "Previous image", ["PageUp", ","], () => void previousImage()],
    ["review", "Review accepted images", ["Shift+R"], () => void startReview()],
    ["comment", "Comment on the place under the pointer", ["D"], () => write()],
    ["unfinished", "Next image that is not finished", ["J"], () => void nextUnfinished()],
    ["grid", "Grid of images", ["R"], toggleGrid],
    ["export", "Export", ["Ctrl+E"], () => void showExport()],
  ]);
  add("Tools", [
    ["tool-click", "Click and box", ["C"], () => choose("click")],
    ["tool-brush", "Brush", ["B"], () => choose("brush")],
    ["tool-eraser", "Eraser", ["E"], () => choose("eraser")],
    ["tool-lasso", "Lasso", ["A"], () => choose("lasso")],
    ["tool-pan", "Move the photo", ["M"], () => choose("pan")],
    ["smaller", "Smaller brush", ["["], () => setBrush(state.brush / 1.2)],
    ["larger", "Larger brush", ["]"], () => setBrush(state.brush * 1.2 + 0.5)],
    ["words", "Describe the object in words", ["T"], () => byId("words").focus()],
  ]);
  add("View", [
    ["zoom-in", "Zoom in", ["+", "="], () => zoomBy(1.4)],
    ["zoom-out", "Zoom out", ["-"], () => zoomBy(1 / 1.4)],
    ["fit", "Fit the photo", ["F", "0"], fitPhoto],
    ["move", "Move the photo while held", ["Space"], () => holdSpace(true), () => holdSpace(false)],
    ["peek", "Hide all masks while held", ["H"], () => overlays(false), () => overlays(true)],
    ["see", "View: opacity, levels of the photo", ["W"], toggleSeeing],
    ["outline", "Outlines only", ["I"], toggleOutline],
    ["names", "Names on the photo", ["Q"], toggleNames],
    ["panels", "Photo only", ["\\"], () => document.body.classList.toggle("wide-photo")],
    ["help", "Keys and mouse", ["?", "Shift+?"], showKeys],
  ]);
  add("Clip", clipCommands);
  add("Classes", [["class-search", "Find a class by its name", ["/"], searchLabels]]);
  add("Classes", Array.from({ length: 18 }, (_, i) => [`class-${i + 1}`, `Class ${i + 1}`, [i < 9 ? String(i + 1) : `Shift+${i - 8}`], () => chooseLabelAt(i)]));
}

function accept() {
  if (state.hand.doing === "shaping") applyShaping();
  else if (!acceptMarked()) void (state.hand.doing === "reviewing" ? decide(true) : close("accepted"));
}

/** @param {boolean} shown */
function overlays(shown) {
  state.overlays = shown;
  redraw("below", "overlay", "marks");
}

function photoKeys() {
  for (const [key, dx, dy] of /** @type {[string, number, number][]} */ ([["ArrowLeft", -1, 0], ["ArrowRight", 1, 0], ["ArrowUp", 0, -1], ["ArrowDown", 0, 1]])) {
    addPhotoKey(key, (event) => (moveCrosshair(dx * (event.shiftKey ? 10 : 1), dy * (event.shiftKey ? 10 : 1)), true));
  }
  const crosshair = (/** @type {boolean} */ positive) => (/** @type {KeyboardEvent} */ event) => {
    if (state.hand.doing !== "crosshair") return false;
    if (positive && takeAt(state.hand.at, event.shiftKey)) return true;
    void clickAt(state.hand.at, positive && !event.shiftKey, event.timeStamp, event.altKey);
    return true;
  };
  addPhotoKey("Enter", crosshair(true));
  addPhotoKey("x", crosshair(false));
  addPhotoKey("X", crosshair(false));
}

/** After a press of the mouse the keys mean the photo again: a button keeps the focus only from the keyboard. @param {MouseEvent} event */
function backToPhoto(event) {
  if (!event.detail || !(event.target instanceof Element)) return;
  if (event.target.closest("dialog, .menu, input, select, textarea") || document.querySelector("dialog[open], .menu")) return;
  byId("stage").focus({ preventScroll: true });
}

/** @type {number} */
let fading;
setNotify((message, options = {}) => {
  const notice = byId("notice");
  clearTimeout(fading);
  if (notice.matches(":popover-open")) notice.hidePopover();
  if (!message) return;
  notice.classList.toggle("bad", Boolean(options.bad));
  const hide = () => notice.matches(":popover-open") && notice.hidePopover();
  const { actions = [] } = options;
  notice.replaceChildren(
    h("span", {}, message),
    ...actions.map(({ label, act: answer }) => h("button", { class: "quiet", onclick: () => (hide(), answer()) }, label)),
    h("button", { class: "small-icon", "aria-label": "Close", onclick: hide }, icon("close")),
  );
  (document.querySelector("dialog[open]") ?? byId("work")).append(notice); // a dialog makes all outside it dead
  notice.showPopover();
  if (!actions.length) fading = window.setTimeout(hide, options.bad ? 9000 : 5000);
});

/** On a narrow screen the panels are drawers. */
function startDrawers() {
  const drawers = /** @type {[string, string][]} */ ([["show-images", "images-drawer"], ["show-objects", "objects-drawer"]]);
  for (const [shown, button] of drawers) {
    byId(button).addEventListener("click", () => {
      for (const [other] of drawers) document.body.classList.toggle(other, other === shown && !document.body.classList.contains(other));
    });
  }
  byId("images-drawer").append(icon("menu"));
  byId("objects-drawer").append(icon("polygon"));
  byId("narrow-accept").addEventListener("click", () => void close("accepted"));
  byId("stage").addEventListener("pointerdown", () => document.body.classList.remove("show-images", "show-objects"));
  subscribe(["image"], () => document.body.classList.remove("show-images"));
}

async function start() {
  commands();
  photoKeys();
  byId("menu-button").append(icon("menu"));
  byId("grid-button").append(icon("grid"));
  byId("menu-button").addEventListener("click", showMenu);
  byId("accept").addEventListener("click", () => void close("accepted"));
  byId("skip").addEventListener("click", () => void close("skipped"));
  byId("reopen").addEventListener("click", () => void reopen());
  /** @type {HTMLElement} */ (byId("accept").querySelector("kbd")).textContent = keysOf("accept").replace("Enter", "↵");
  const overlap = /** @type {HTMLSelectElement} */ (byId("overlap"));
  overlap.addEventListener("change", async () => {
    try {
      await post("settings", { key: newId(), overlap: overlap.value });
      if (state.project) state.project.overlap = /** @type {"allow"} */ (overlap.value);
    } catch (error) {
      notify(/** @type {Error} */ (error).message, { bad: true });
    }
    emit("project");
  });
  startDrawers();
  startStage();
  startPhoto();
  startMarks();
  startTools();
  startHand();
  startKeys();
  startDock();
  startPolygon();
  startShaping();
  startSeeing();
  startLabels();
  startObjects();
  startLoop();
  startReviewing();
  startAttributes();
  startPreview();
  startProposals();
  startClip();
  follow(["image", "objects"], () => {
    const now = state.image?.state;
    const what = now === "accepted" ? "Next" : "Accept and next";
    /** @type {HTMLElement} */ (byId("accept").firstElementChild).textContent = byId("narrow-accept").textContent = what;
    byId("skip").hidden = now === "accepted" || now === "skipped";
    byId("reopen").hidden = !byId("skip").hidden;
    document.title = state.image ? `${state.image.path} · segue` : "segue";
  });
  const project = await get("project");
  state.project = project;
  state.label = project.labels[0]?.id ?? null;
  byId("project").textContent = project.name;
  follow(["project"], () => (overlap.value = state.project?.overlap ?? "allow"));
  emit("project", "tool");
  await startImages();
  startGrid();
  startStatus();
  const first = (await get("images?limit=1")).images[0];
  const wanted = Number(location.hash.slice(1)) || project.last || first?.id;
  if (!(await go(wanted)) && first && wanted !== first.id) await go(first.id);
  byId("stage").focus();
}

window.addEventListener("popstate", () => {
  const id = Number(location.hash.slice(1));
  if (id && id !== state.image?.id) void go(id, { history: false });
});
window.addEventListener("pagehide", () => {
  // A closed tab lets its image go at once instead of after 45 seconds.
  if (state.image?.mine) void fetch(`api/images/${state.image.id}/hold`, { method: "DELETE", keepalive: true, headers: { "segue-window": WINDOW } });
});
window.addEventListener("beforeunload", (event) => {
  if (state.saving) event.preventDefault();
});
window.addEventListener("unhandledrejection", (event) => notify(String(event.reason?.message ?? event.reason), { bad: true }));
for (const panel of document.querySelectorAll("aside, .dock, #seeing, footer.status, #queue, #no-photo")) panel.addEventListener("click", (event) => backToPhoto(/** @type {MouseEvent} */ (event)));

void start();
