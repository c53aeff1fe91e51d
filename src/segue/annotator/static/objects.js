// The list of objects in the image, the uppermost first.
// @ts-check
import { byId, h, icon, openMenu } from "./dom.js";
import { newId } from "./api.js";
import { keysOf } from "./keys.js";
import { colourOf, labelOf, objectOf, on, state } from "./state.js";
import { act, actOn, notify, prompt, select } from "./work.js";
import { togglePolygon } from "./dock.js";
import { nextImage } from "./images.js";
/** @typedef {import("./state.js").Drawn} Drawn */

/** @type {string | null} */
let dragged = null;

/** @param {string | null} id */
export function removeObject(id) {
  const object = objectOf(id);
  if (!object) return;
  if (object.locked) return notify("This object is locked. Unlock it to remove it.");
  void act({ kind: "remove", object: object.id });
}

/** @param {string | null} id @param {"locked" | "hidden"} what */
export function toggle(id, what) {
  const object = objectOf(id);
  if (object) void act({ kind: "edit", object: object.id, [what]: !object[what] });
}

/** @param {string} id @param {number} step up is +1 */
export function shift(id, step) {
  const at = state.objects.findIndex((object) => object.id === id);
  const place = at + step;
  if (at >= 0 && place >= 0 && place < state.objects.length) void act({ kind: "edit", object: id, place });
}

/** @param {string | null} id */
export async function copyToNext(id) {
  const next = state.image?.next;
  const object = objectOf(id);
  if (!object) return;
  if (!next) return notify("This is the last image; there is no next one to copy to.");
  if (await actOn(next, { kind: "copy", objects: { [object.id]: newId() } })) {
    notify("Copied to the next image.", { action: { label: "Go there", act: nextImage } });
  }
}

/** @param {HTMLElement} anchor @param {Drawn} object */
function menu(anchor, object) {
  const at = state.objects.indexOf(object);
  const example = state.project?.model.accepts.includes("reference");
  openMenu(anchor, [
    { label: "Polygon view", icon: "polygon", keys: keysOf("polygon"), act: () => (select(object.id), togglePolygon()) },
    { label: "Copy to next image", icon: "copy", keys: keysOf("copy"), disabled: !state.image?.next, act: () => copyToNext(object.id) },
    example ? { label: "Use as example", icon: "star", act: () => useAsExample(object) } : null,
    { label: "Move up", icon: "up", keys: "Alt ↑", disabled: at === state.objects.length - 1, act: () => shift(object.id, 1) },
    { label: "Move down", icon: "down", keys: "Alt ↓", disabled: at === 0, act: () => shift(object.id, -1) },
    null,
    { label: "Remove", icon: "trash", keys: keysOf("remove"), danger: true, disabled: object.locked, act: () => removeObject(object.id) },
  ]);
}

/** Find another object that looks like this one, in this image. @param {Drawn} object */
function useAsExample(object) {
  state.active = null;
  state.label = object.label ?? state.label;
  void prompt([{ type: "example", object: object.id }]);
}

/** @param {Drawn} object @param {number} number */
function row(object, number) {
  const label = labelOf(object.label);
  const name = `${label?.name ?? "object"} ${number}`;
  const button = (/** @type {import("./dom.js").IconName} */ glyph, /** @type {string} */ title, /** @type {boolean} */ set, /** @type {(e: MouseEvent) => void} */ act) =>
    h("button", { class: `small-icon on-demand${set ? " set" : ""}`, title, "aria-label": `${title} ${name}`, onclick: (/** @type {MouseEvent} */ e) => (e.stopPropagation(), act(e)) }, icon(glyph));
  const effort = object.clicks + object.strokes;
  const element = h(
    "li",
    {
      class: `object${object.hidden ? " off" : ""}`, tabIndex: 0, draggable: true, "aria-current": String(object.id === state.active), "data-id": object.id,
      "aria-label": `${name}, ${object.clicks} clicks${object.locked ? ", locked" : ""}${object.hidden ? ", hidden" : ""}`,
      title: `${object.shape?.area.toLocaleString("en") ?? 0} px · ${object.clicks} clicks · ${object.strokes} strokes · ${object.seconds.toFixed(0)} s`,
      onclick: () => select(object.id === state.active ? null : object.id),
    },
    h("i", { class: "swatch", style: { background: colourOf(object) } }),
    h("span", { class: "name grow ellipsis" }, name),
    h("span", { class: "about" }, effort ? `${effort} ${effort === 1 ? "click" : "clicks"} · ${Math.round(object.seconds)} s` : object.origin === "found" ? "found" : object.origin === "import" ? "imported" : ""),
    button(object.hidden ? "hidden" : "eye", object.hidden ? "Show" : "Hide", object.hidden, () => toggle(object.id, "hidden")),
    button(object.locked ? "lock" : "unlock", object.locked ? "Unlock" : "Lock", object.locked, () => toggle(object.id, "locked")),
    button("more", "More for", false, (e) => menu(/** @type {HTMLElement} */ (e.currentTarget), object)),
  );
  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.target !== element) return;
    if (event.key === "Enter" || event.key === " ") select(object.id);
    else if (event.altKey && event.key === "ArrowUp") shift(object.id, 1);
    else if (event.altKey && event.key === "ArrowDown") shift(object.id, -1);
    else if (event.key === "ArrowDown") element.nextElementSibling?.focus();
    else if (event.key === "ArrowUp") element.previousElementSibling?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  element.addEventListener("dragstart", () => (dragged = object.id));
  element.addEventListener("dragover", (/** @type {DragEvent} */ e) => (e.preventDefault(), element.classList.add("drop-before")));
  element.addEventListener("dragleave", () => element.classList.remove("drop-before"));
  element.addEventListener("drop", (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    const from = state.objects.findIndex((o) => o.id === dragged);
    const to = state.objects.indexOf(object);
    // Shown top first: dropping before a row means lying just above it.
    if (dragged && dragged !== object.id) void act({ kind: "edit", object: dragged, place: from < to ? to : to + 1 });
  });
  return element;
}

function draw() {
  const list = byId("object-list");
  const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.id : undefined;
  byId("object-count").textContent = state.objects.length ? String(state.objects.length) : "";
  /** Numbers count within a class, oldest first. @type {Map<number | null, number>} */
  const counts = new Map();
  const rows = state.objects.map((object) => {
    counts.set(object.label, (counts.get(object.label) ?? 0) + 1);
    return row(object, counts.get(object.label) ?? 1);
  });
  list.replaceChildren(...rows.reverse());
  if (!rows.length) {
    const busy = state.pending.length > 0;
    list.append(h("li", { class: "empty" }, busy ? "Working …" : h("span", {}, h("b", {}, "Click the object"), " in the photo, or drag a box around it. Right-click takes away.")));
  }
  list.querySelector(`[aria-current="true"]`)?.scrollIntoView({ block: "nearest" });
  if (focused) /** @type {HTMLElement | null} */ (list.querySelector(`[data-id="${focused}"]`))?.focus();
}

export function startObjects() {
  on(["objects", "active", "image", "project", "pending"], draw);
}
