// Keys and what they do. Every key can be changed in the help sheet; the choice is kept in this browser.
// @ts-check
import { h, openDialog } from "./dom.js";

/** @typedef {{name: string, title: string, group: string, keys: string[], run: () => void, release?: () => void}} Command */
/** @type {Map<string, Command>} */
const commands = new Map();
/** Arrow keys and the like, which act on the photo only while it has the focus; false where they mean nothing now. @type {Map<string, (event: KeyboardEvent) => boolean>} */
const onPhoto = new Map();
/** @type {Record<string, string[]>} */
const changed = JSON.parse(localStorage.getItem("segue.keys") ?? "{}");
let capturing = false;
/** @type {Command | null} */
let held = null;

/** @param {Omit<Command, "name"> & {name: string}} command */
export function addCommand(command) {
  commands.set(command.name, { ...command, keys: changed[command.name] ?? command.keys });
}

/** @param {string} key @param {(event: KeyboardEvent) => boolean} run */
export function addPhotoKey(key, run) {
  onPhoto.set(key, run);
}

/** What to press for a command, for labels. @param {string} name */
export function keysOf(name) {
  return pretty(commands.get(name)?.keys[0] ?? "");
}

/** @param {string} name */
export function runCommand(name) {
  commands.get(name)?.run();
}

/** @param {string} keys */
function pretty(keys) {
  const mac = navigator.platform.startsWith("Mac");
  return keys
    .replace("Ctrl+", mac ? "⌘" : "Ctrl ").replace("Shift+", mac ? "⇧" : "Shift ").replace("Alt+", mac ? "⌥" : "Alt ")
    .replace("Escape", "Esc").replace("Delete", "Del").replace("PageDown", "Page ↓").replace("PageUp", "Page ↑")
    .replace(/^Space$/, "Space");
}

/** A key press as text: modifiers in a fixed order, letters in upper case. @param {KeyboardEvent} event */
export function spell(event) {
  if (event.shiftKey && event.code.startsWith("Digit") && !event.ctrlKey && !event.altKey) return `Shift+${event.code.slice(5)}`;
  const key = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toUpperCase() : event.key;
  const shift = event.shiftKey && (event.key.length > 1 || /[a-z]/i.test(event.key) || event.ctrlKey);
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${event.altKey ? "Alt+" : ""}${shift ? "Shift+" : ""}${key}`;
}

/** @param {EventTarget | null} target */
function typing(target) {
  return target instanceof HTMLInputElement ? !["range", "color", "checkbox"].includes(target.type) : target instanceof HTMLSelectElement;
}

/** @param {KeyboardEvent} event */
function down(event) {
  if (capturing || event.defaultPrevented || typing(event.target) || document.querySelector("dialog[open]")) return;
  const keys = spell(event);
  const onStage = event.target instanceof Element && event.target.id === "stage";
  const photoKey = onStage ? onPhoto.get(event.key) : undefined;
  if (photoKey && !event.ctrlKey && !event.metaKey && photoKey(event)) return event.preventDefault();
  const onControl = event.target instanceof HTMLButtonElement || (event.target instanceof Element && event.target.closest("[role=listbox]"));
  if (onControl && ["Enter", "Space", "PageDown", "PageUp"].includes(keys)) return;
  const command = [...commands.values()].find((c) => c.keys.includes(keys));
  if (!command || (event.repeat && !["undo", "redo", "zoom-in", "zoom-out", "larger", "smaller"].includes(command.name))) return;
  event.preventDefault();
  if (command.release) held = command;
  command.run();
}

/** @param {KeyboardEvent} event */
function up(event) {
  if (held && held.keys.includes(spell(event))) {
    held.release?.();
    held = null;
  }
}

export function startKeys() {
  window.addEventListener("keydown", down);
  window.addEventListener("keyup", up);
  window.addEventListener("blur", () => {
    held?.release?.();
    held = null;
  });
}

export function showKeys() {
  const { body } = openDialog("Keys and mouse", { wide: true });
  const mouse = [
    ["Click", "begin an object, or add to the one that is edited; on another object's mask: edit that one"],
    ["Right click, or Shift click", "remove from the object"], ["Drag", "a box around a new object; inside the edited mask: around that one again"],
    ["Alt click, Alt drag", "the opposite: add under another mask, begin inside the mask"], ["One finger", "tap adds, a long press removes; two fingers move and zoom"], ["Wheel, or pinch", "zoom"], ["Middle button, or Space and drag", "move the photo"],
    ["Arrow keys on the photo", "crosshair; Shift for ten pixels, Enter adds, X removes, Esc leaves it"],
  ];
  body.append(
    h("p", { class: "muted" }, "Press a key's button to change it. Changes stay in this browser."),
    h("table", { class: "keys" }, ...mouse.map(([a, b]) => h("tr", {}, h("td", { style: { width: "34%" } }, a), h("td", { class: "muted" }, b)))),
  );
  const groups = [...new Set([...commands.values()].map((command) => command.group))];
  for (const group of groups) {
    const rows = [...commands.values()].filter((command) => command.group === group).map(line);
    body.append(h("h2", { style: { margin: "16px 0 4px" } }, group), h("table", { class: "keys" }, ...rows));
  }
  body.append(h("div", { class: "actions" }, h("button", { class: "quiet", onclick: reset }, "Back to the original keys")));
}

function reset() {
  localStorage.removeItem("segue.keys");
  location.reload();
}

/** @param {Command} command */
function line(command) {
  const button = h("button", { class: "quiet", style: { padding: "3px 6px" } }, h("kbd", {}, pretty(command.keys[0] ?? "none")));
  button.addEventListener("click", () => {
    button.replaceChildren(h("kbd", {}, "press a key …"));
    capturing = true;
    const take = (/** @type {KeyboardEvent} */ event) => {
      if (["Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      window.removeEventListener("keydown", take, true);
      capturing = false;
      rebind(command, spell(event));
      button.replaceChildren(h("kbd", {}, pretty(command.keys[0])));
    };
    window.addEventListener("keydown", take, true);
  });
  return h("tr", {}, h("td", { style: { width: "34%" } }, button), h("td", {}, command.title));
}

/** Give a command a key; whoever had it loses it. @param {Command} command @param {string} keys */
function rebind(command, keys) {
  for (const other of commands.values()) {
    if (other !== command && other.keys.includes(keys)) {
      other.keys = other.keys.filter((key) => key !== keys);
      changed[other.name] = other.keys;
    }
  }
  command.keys = [keys];
  changed[command.name] = command.keys;
  localStorage.setItem("segue.keys", JSON.stringify(changed));
}
