// Classes: chosen for the active object and for the next ones; edited in a dialog.
// @ts-check
import { byId, h, icon, openDialog } from "./dom.js";
import { newId, post } from "./api.js";
import { keysOf } from "./keys.js";
import { active, emit, follow, state } from "./state.js";
import { act, notify } from "./actions.js";

const MANY = 10; // classes, above which they can be searched
const search = /** @type {HTMLInputElement} */ (byId("label-search"));

/** Give the active object a class, and the next ones too. @param {number} id */
export function chooseLabel(id) {
  state.label = id;
  const object = active();
  if (object && object.label !== id) void act({ kind: "edit", object: object.id, label: id });
  emit("active");
}

/** @param {number} place from 0 */
export function chooseLabelAt(place) {
  const label = state.project?.labels[place];
  if (label) chooseLabel(label.id);
}

/** One stop of the Tab key; arrow keys move and choose. @param {KeyboardEvent} event */
function arrows(event) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const labels = state.project?.labels ?? [];
  if (!step || !labels.length) return;
  event.preventDefault();
  event.stopPropagation();
  const chosen = active()?.label ?? state.label;
  const at = (labels.findIndex((label) => label.id === chosen) + step + labels.length) % labels.length;
  chooseLabel(labels[at].id);
}

function draw() {
  const focused = byId("labels").contains(document.activeElement);
  const labels = state.project?.labels ?? [];
  if (!labels.some((label) => label.id === state.label)) state.label = labels[0]?.id ?? null;
  const chosen = active()?.label ?? state.label;
  search.hidden = labels.length <= MANY;
  const wanted = search.hidden ? "" : search.value.trim().toLowerCase();
  byId("labels").replaceChildren(
    ...labels.map((label, i) =>
      wanted && !label.name.toLowerCase().includes(wanted) ? null : h(
        "button",
        { role: "radio", "aria-checked": String(label.id === chosen), tabIndex: label.id === chosen ? 0 : -1, title: i < 18 ? `${label.name} (${keysOf(`class-${i + 1}`)})` : label.name, onclick: () => chooseLabel(label.id) },
        h("i", { class: "swatch", style: { background: label.colour } }), h("span", { class: "ellipsis" }, label.name), i < 18 ? h("small", {}, i < 9 ? String(i + 1) : `⇧${i - 8}`) : null,
      ),
    ).filter((chip) => chip !== null),
  );
  if (focused) /** @type {HTMLElement | null} */ (byId("labels").querySelector("[tabindex='0']"))?.focus();
}

/** @param {object} change */
async function send(change) {
  if (!state.project) return;
  try {
    state.project.labels = await post("labels", { key: newId(), ...change });
    emit("project");
  } catch (error) {
    notify(String(/** @type {Error} */ (error).message), { bad: true });
  }
}

/** Names of classes in a file: one a line, or the categories of a COCO file, or a list. @param {string} content @returns {string[]} */
export function namesIn(content) {
  let names = content.split(/\r?\n/);
  if (/^\s*[[{]/.test(content)) {
    const read = JSON.parse(content);
    names = (Array.isArray(read) ? read : read.categories ?? read.classes ?? []).map((/** @type {any} */ one) => String(one?.name ?? one));
  }
  return [...new Set(names.map((name) => name.trim()).filter(Boolean))];
}

/** Add the classes of a file that are not there yet. @param {File} file */
async function fromFile(file) {
  try {
    const known = new Set(state.project?.labels.map((label) => label.name));
    const names = namesIn(await file.text()).filter((name) => !known.has(name));
    for (const name of names) await send({ name: name.slice(0, 80) });
    notify(`${names.length} ${names.length === 1 ? "class" : "classes"} added from ${file.name}.`);
  } catch (error) {
    notify(`${file.name} does not read as classes: one name a line, or JSON with categories. ${/** @type {Error} */ (error).message}`, { bad: true });
  }
}

function edit() {
  const { body } = openDialog("Classes");
  const rows = h("div");
  const fill = () => {
    rows.replaceChildren(
      ...(state.project?.labels ?? []).map((label) =>
        h(
          "div",
          { class: "class-row" },
          h("input", { type: "color", value: label.colour.toLowerCase(), "aria-label": `Colour of ${label.name}`, onchange: (/** @type {any} */ e) => send({ id: label.id, colour: e.target.value }).then(fill) }),
          h("input", { type: "text", class: "grow", value: label.name, maxLength: 80, "aria-label": "Name", onchange: (/** @type {any} */ e) => send({ id: label.id, name: e.target.value }).then(fill) }),
          h("button", { class: "small-icon", "aria-label": `Remove ${label.name}`, title: "Remove", onclick: () => send({ id: label.id, remove: true }).then(fill) }, icon("trash")),
        ),
      ),
    );
  };
  const name = h("input", { type: "text", class: "grow", placeholder: "New class", maxLength: 80, "aria-label": "New class" });
  const form = h("form", { class: "class-row" }, name, h("button", { class: "primary", type: "submit" }, "Add"));
  form.addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (name.value.trim()) await send({ name: name.value });
    name.value = "";
    fill();
    name.focus();
  });
  fill();
  const file = h("input", { type: "file", accept: ".txt,.json,.names", "aria-label": "Classes from a file", onchange: () => file.files?.[0] && fromFile(file.files[0]).then(fill) });
  body.append(rows, form, h("label", { class: "field", style: { marginTop: "10px" } }, h("span", {}, "From a file"), file));
  name.focus();
}

/** Find a class by its name. */
export function searchLabels() {
  if (!search.hidden) search.focus();
}

export function startLabels() {
  search.addEventListener("input", draw);
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    if (event.key === "Enter") /** @type {HTMLElement | null} */ (byId("labels").firstElementChild)?.click();
    search.value = "";
    byId("stage").focus();
    draw();
  });
  byId("labels").addEventListener("keydown", arrows);
  byId("edit-classes").addEventListener("click", edit);
  follow(["project", "active", "objects"], draw);
}
