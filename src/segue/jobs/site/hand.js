// What hands do: mouse, fingers, keys, dropped files.
// @ts-check
import { draw, place, view, zoom } from "./stage.js";
/** @typedef {{add: (prompt: import("./frame.js").Prompt, since: number) => void, open: (file: Blob, name: string) => Promise<void>, commands: Record<string, () => void>, state: {tool: string}}} Page */

const DRAG = 5; // CSS pixels before a press is a box
/** @type {Record<string, string>} */
const KEYS = { a: "add", d: "remove", m: "move", z: "undo", y: "redo", n: "next", f: "fit", "+": "in", "=": "in", "-": "out" };

/** @param {Page} page */
export function startHand({ add, open, commands, state }) {
  const stage = /** @type {HTMLElement} */ (document.getElementById("stage"));
  /** @type {Map<number, PointerEvent>} */
  const down = new Map();
  let space = false, panning = false, pinched = false;
  /** @type {{x: number, y: number} | null} */
  let start = null;

  stage.addEventListener("pointerdown", (event) => {
    if (!view.photo || (event.target instanceof Element && event.target.closest("button, #tools"))) return;
    stage.setPointerCapture(event.pointerId);
    down.set(event.pointerId, event);
    panning = state.tool === "move" || space || event.button === 1;
    start = { x: event.clientX, y: event.clientY };
    if (down.size > 1) {
      pinched = true;
      view.band = null;
    }
  });
  stage.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before || !start) return;
    if (pinched) pinch(event);
    else if (panning) {
      view.x += event.clientX - before.clientX;
      view.y += event.clientY - before.clientY;
      draw();
    } else if (event.buttons & 1 && Math.hypot(event.clientX - start.x, event.clientY - start.y) > DRAG) {
      view.band = boxFrom(start, event);
      draw();
    }
    down.set(event.pointerId, event);
  });
  stage.addEventListener("pointerup", (event) => {
    if (!down.delete(event.pointerId) || !start || !view.photo) return;
    const band = view.band, [x, y] = place(event), { width, height } = view.photo;
    view.band = null;
    if (!panning && !pinched) {
      if (band) {
        const [x0, y0, x1, y1] = band;
        if (x1 - x0 >= 1 && y1 - y0 >= 1) add({ type: "box", x0, y0, x1, y1 }, event.timeStamp);
      } else if (x >= 0 && y >= 0 && x < width && y < height) add({ type: "click", x: Math.floor(x), y: Math.floor(y), positive: state.tool === "add" && event.button !== 2 }, event.timeStamp);
    }
    if (!down.size) pinched = panning = false;
    draw();
  });
  stage.addEventListener("pointercancel", (event) => {
    down.delete(event.pointerId);
    view.band = null;
    if (!down.size) pinched = panning = false;
  });
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), event.clientX - box.x, event.clientY - box.y);
  }, { passive: false });

  /** Two fingers: move with their middle, zoom with their distance. @param {PointerEvent} now */
  function pinch(now) {
    const [a, b] = [...down.values()];
    if (!a || !b) return;
    const [c, d] = [a, b].map((e) => (e.pointerId === now.pointerId ? now : e)), box = stage.getBoundingClientRect();
    view.x += (c.clientX + d.clientX - a.clientX - b.clientX) / 2;
    view.y += (c.clientY + d.clientY - a.clientY - b.clientY) / 2;
    const far = (/** @type {PointerEvent} */ p, /** @type {PointerEvent} */ q) => Math.hypot(p.clientX - q.clientX, p.clientY - q.clientY);
    zoom(far(c, d) / Math.max(1, far(a, b)), (c.clientX + d.clientX) / 2 - box.x, (c.clientY + d.clientY) / 2 - box.y);
  }

  addEventListener("keydown", (event) => {
    if (event.key === " " && !(document.activeElement instanceof HTMLButtonElement)) {
      space = true;
      document.body.toggleAttribute("data-moving", true);
      event.preventDefault();
    }
    const key = event.key.toLowerCase(), command = key === "z" && event.shiftKey ? "redo" : KEYS[key];
    if (!command || event.altKey || ((event.ctrlKey || event.metaKey) && !["undo", "redo"].includes(command)) || !view.photo) return;
    event.preventDefault();
    commands[command]();
  });
  addEventListener("keyup", (event) => {
    if (event.key !== " ") return;
    space = false;
    document.body.toggleAttribute("data-moving", state.tool === "move");
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    stage.classList.add("over");
  });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) stage.classList.remove("over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    stage.classList.remove("over");
    const file = event.dataTransfer?.files[0];
    if (file) void open(file, file.name);
  });
  addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (file) void open(file, file.name);
  });
}

/** x0 y0 x1 y1 inside the photo between two places in the window. @param {{x: number, y: number}} start @param {PointerEvent} end @returns {[number, number, number, number]} */
function boxFrom(start, end) {
  const { width, height } = /** @type {ImageBitmap} */ (view.photo), [ax, ay] = place({ clientX: start.x, clientY: start.y }), [bx, by] = place(end);
  const inside = (/** @type {number} */ v, /** @type {number} */ most) => Math.min(most, Math.max(0, Math.round(v)));
  return [inside(Math.min(ax, bx), width), inside(Math.min(ay, by), height), inside(Math.max(ax, bx), width), inside(Math.max(ay, by), height)];
}
