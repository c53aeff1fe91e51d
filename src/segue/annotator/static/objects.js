// The list of objects in the image, the uppermost first.
// @ts-check
import { arrange, byId, h, icon, openMenu } from "./dom.js";
import { newId } from "./api.js";
import { keysOf } from "./keys.js";
import { colourOf, emit, follow, labelOf, objectOf, state } from "./state.js";
import { act, actOn, notify, prompt, select } from "./actions.js";
import { togglePolygon } from "./polygon.js";
import { combine, openShaping, splitObject } from "./shape.js";
import { go, neighbour } from "./images.js";
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
  const object = objectOf(id);
  if (!object) return;
  const next = await neighbour(1);
  if (!next) return notify("This is the last image; there is no next one to copy to.");
  if (await actOn(next, { kind: "copy", objects: { [object.id]: newId() } })) {
    notify("Copied to the next image.", { actions: [{ label: "Go there", act: () => go(next) }] });
  }
}

/** @param {HTMLElement} anchor @param {string} id */
function menu(anchor, id) {
  const object = objectOf(id);
  if (!object) return;
  const at = state.objects.indexOf(object);
  const together = state.picked.size + Number(!state.picked.has(id));
  const example = state.project?.model.accepts.includes("reference");
  openMenu(anchor, [
    { label: "Polygon view", icon: "polygon", keys: keysOf("polygon"), act: () => (select(object.id), togglePolygon()) },
    { label: "Shape the mask", icon: "sliders", keys: keysOf("shape"), disabled: object.locked, act: () => (select(object.id), openShaping()) },
    { label: "Split into parts", icon: "cut", disabled: object.locked, act: () => splitObject(object.id) },
    together > 1 && { label: `Merge ${together} objects`, icon: "merge", disabled: object.locked, act: () => combine(object.id, "merge") },
    together > 1 && { label: "Subtract the others", icon: "minus", disabled: object.locked, act: () => combine(object.id, "subtract") },
    { label: "Copy to next image", icon: "copy", keys: keysOf("copy"), act: () => copyToNext(object.id) },
    example && { label: "Use as example", icon: "star", act: () => useAsExample(object) },
    { label: "Move up", icon: "up", keys: "Alt ↑", disabled: at === state.objects.length - 1, act: () => shift(object.id, 1) },
    { label: "Move down", icon: "down", keys: "Alt ↓", disabled: at === 0, act: () => shift(object.id, -1) },
    null,
    { label: "Remove", icon: "trash", keys: keysOf("remove"), danger: true, disabled: object.locked, act: () => removeObject(object.id) },
  ]);
}

/** Choose or leave an object together with others. @param {string} id */
function pick(id) {
  const picked = new Set(state.picked.size ? state.picked : state.active ? [state.active] : []);
  if (!picked.delete(id)) picked.add(id);
  state.picked = picked;
  emit("active");
}

/** Find another object that looks like this one, in this image. @param {Drawn} object */
function useAsExample(object) {
  state.active = null;
  state.label = object.label ?? state.label;
  void prompt([{ type: "example", object: object.id }]);
}

/** Everything that a row shows, so that a row which shows the same is kept. @param {Drawn} object @param {number} number */
function facts(object, number) {
  const { id, hidden, locked, clicks, strokes, origin } = object;
  const name = `${labelOf(object.label)?.name ?? "object"} ${number}`;
  return { id, hidden, locked, clicks, strokes, origin, name, seconds: Math.round(object.seconds), area: object.shape?.area ?? 0, colour: colourOf(object), current: id === state.active, picked: state.picked.has(id) };
}

/** @param {string | null} id */
function hover(id) {
  state.hover = id;
  emit("hover");
}

/** @param {ReturnType<typeof facts> & {stop: boolean}} shown @param {string} key */
function row(shown, key) {
  const { id, name, hidden, locked, clicks, strokes, seconds, origin } = shown;
  const button = (/** @type {import("./dom.js").IconName} */ glyph, /** @type {string} */ title, /** @type {boolean} */ set, /** @type {(e: MouseEvent) => void} */ act) =>
    h("button", { class: `small-icon on-demand${set ? " set" : ""}`, title, "aria-label": `${title} ${name}`, tabIndex: shown.stop ? 0 : -1, onclick: (/** @type {MouseEvent} */ e) => (e.stopPropagation(), act(e)) }, icon(glyph));
  const counted = (/** @type {number} */ count, /** @type {string} */ what) => (count ? `${count} ${what}${count === 1 ? "" : "s"}` : "");
  const effort = [counted(clicks, "click"), counted(strokes, "stroke")].filter(Boolean).join(", ");
  const element = h(
    "li",
    {
      class: `object${hidden ? " off" : ""}${shown.picked ? " picked" : ""}`, tabIndex: shown.stop ? 0 : -1, draggable: true, "aria-current": String(shown.current), "data-id": id, "data-key": key,
      "aria-label": `${name}, ${clicks} clicks${locked ? ", locked" : ""}${hidden ? ", hidden" : ""}`,
      title: `${shown.area.toLocaleString("en")} px · ${clicks} clicks · ${strokes} strokes · ${seconds} s`,
      onclick: (/** @type {MouseEvent} */ e) => (e.ctrlKey || e.metaKey || e.shiftKey ? pick(id) : select(id === state.active ? null : id)), onpointerenter: () => hover(id), onpointerleave: () => hover(null),
    },
    h("i", { class: "swatch", style: { background: shown.colour } }),
    h("span", { class: "name grow ellipsis" }, name),
    h("span", { class: "about" }, effort ? `${effort} · ${seconds} s` : origin === "found" ? "found" : origin === "import" ? "imported" : ""),
    button(hidden ? "hidden" : "eye", hidden ? "Show" : "Hide", hidden, () => toggle(id, "hidden")),
    button(locked ? "lock" : "unlock", locked ? "Unlock" : "Lock", locked, () => toggle(id, "locked")),
    button("more", "More for", false, (e) => menu(/** @type {HTMLElement} */ (e.currentTarget), id)),
  );
  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.target !== element) return;
    if (event.key === "Enter" || event.key === " ") select(id);
    else if (event.altKey && event.key === "ArrowUp") shift(id, 1);
    else if (event.altKey && event.key === "ArrowDown") shift(id, -1);
    else if (event.key === "ArrowDown") element.nextElementSibling?.focus();
    else if (event.key === "ArrowUp") element.previousElementSibling?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  element.addEventListener("dragstart", () => (dragged = id));
  element.addEventListener("dragover", (/** @type {DragEvent} */ e) => (e.preventDefault(), element.classList.add("drop-before")));
  element.addEventListener("dragleave", () => element.classList.remove("drop-before"));
  element.addEventListener("drop", (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    element.classList.remove("drop-before");
    const from = state.objects.findIndex((o) => o.id === dragged);
    const to = state.objects.findIndex((o) => o.id === id);
    // Shown top first: dropping before a row means lying just above it.
    if (dragged && dragged !== id) void act({ kind: "edit", object: dragged, place: from < to ? to : to + 1 });
  });
  return element;
}

function draw() {
  const list = byId("object-list");
  const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.id : undefined;
  byId("object-count").textContent = state.objects.length ? String(state.objects.length) : "";
  const there = new Map([...list.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.key, child]));
  /** Numbers count within a class, oldest first. @type {Map<number | null, number>} */
  const counts = new Map();
  const stop = objectOf(state.active) ?? state.objects.at(-1); // one row is a stop of the Tab key; arrows reach the others
  /** @type {Element[]} */
  const rows = state.objects.map((object) => {
    counts.set(object.label, (counts.get(object.label) ?? 0) + 1);
    const shown = { ...facts(object, counts.get(object.label) ?? 1), stop: object === stop };
    const key = Object.values(shown).join();
    return there.get(key) ?? row(shown, key);
  });
  const fresh = rows.find((element) => element.getAttribute("aria-current") === "true" && !element.isConnected);
  if (!rows.length) {
    const busy = state.pending.length > 0;
    rows.push(h("li", { class: "empty" }, busy ? "Working …" : h("span", {}, h("b", {}, "Click the object"), " in the photo, or drag a box around it. Right-click takes away.")));
  }
  arrange(list, rows.reverse());
  fresh?.scrollIntoView({ block: "nearest" });
  if (focused && !list.contains(document.activeElement)) /** @type {HTMLElement | null} */ (list.querySelector(`[data-id="${focused}"]`))?.focus();
}

export function startObjects() {
  follow(["hover"], () => {
    for (const row of byId("object-list").children) row.classList.toggle("hovered", /** @type {HTMLElement} */ (row).dataset.id === state.hover);
  });
  follow(["objects", "active", "image", "project"], draw);
  follow(["pending"], () => state.objects.length || draw()); // an empty list says that the model works
}
