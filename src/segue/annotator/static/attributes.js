// Attributes of the active object and tags of the image, as the project defines them.
// @ts-check
import { newId, post } from "./api.js";
import { act, notify } from "./actions.js";
import { byId, h, icon, openDialog } from "./dom.js";
import { refreshProject } from "./images.js";
import { active, follow, state } from "./state.js";
/** @typedef {import("./types").Attribute} Attribute */

const panel = byId("attributes");
const TYPES = [["text", "Text"], ["number", "Number"], ["choice", "Choice"], ["flag", "Flag"]];

/** @param {Attribute} one @param {Record<string, unknown>} values @param {string | null} object */
function field(one, values, object) {
  const send = (/** @type {unknown} */ value) => act({ kind: "describe", ...(object ? { object } : {}), values: { [one.name]: value } }).then((done) => done || draw(true));
  const value = values[one.name];
  if (one.type === "flag") {
    const box = h("input", { type: "checkbox", checked: value === true, onchange: () => send(box.checked) });
    return h("label", { class: "row" }, box, one.name);
  }
  if (one.type === "choice") {
    const select = h("select", { onchange: () => send(select.value || null) }, h("option", { value: "" }, "–"), ...one.options.map((choice) => h("option", { value: choice, selected: choice === value }, choice)));
    return h("label", { class: "field" }, h("span", { class: "ellipsis" }, one.name), select);
  }
  const input = h("input", { type: one.type === "number" ? "number" : "text", step: "any", maxLength: 500, value: value ?? "", onchange: () => send(input.value === "" ? null : one.type === "number" ? Number(input.value) : input.value) });
  return h("label", { class: "field" }, h("span", { class: "ellipsis" }, one.name), input);
}

let last = "";

/** @param {boolean} [anew] */
function draw(anew = false) {
  const object = active();
  const defined = (state.project?.attributes ?? []).filter((one) => (one.of === "object") === Boolean(object));
  const values = (object ? object.attributes : state.image?.tags) ?? {};
  panel.hidden = !defined.length || !state.image;
  const now = JSON.stringify([object?.id, state.image?.id, defined, values]);
  if (now === last && !anew) return; // somebody may be typing
  last = now;
  panel.replaceChildren(h("h2", {}, object ? "Attributes" : "Tags of the image"), ...defined.map((one) => field(one, values, object?.id ?? null)));
}

export function editAttributes() {
  const { dialog, body } = openDialog("Attributes and tags", { wide: true });
  /** @type {Attribute[]} */
  const defined = structuredClone(state.project?.attributes ?? []);
  const rows = h("div");
  const fill = () => rows.replaceChildren(...defined.map((one, i) => {
    const choices = h("input", { type: "text", class: "grow", placeholder: "left, right", hidden: one.type !== "choice", value: one.options.join(", "), "aria-label": "Choices", onchange: () => (one.options = choices.value.split(",").map((/** @type {string} */ text) => text.trim()).filter(Boolean)) });
    const pick = (/** @type {"type" | "of"} */ key, /** @type {string} */ label, /** @type {string[][]} */ options) => {
      const select = h("select", { "aria-label": label, onchange: () => ((/** @type {any} */ (one)[key] = select.value), fill()) }, ...options.map(([value, text]) => h("option", { value, selected: one[key] === value }, text)));
      return select;
    };
    const name = h("input", { type: "text", value: one.name, maxLength: 80, "aria-label": "Name", onchange: () => (one.name = name.value.trim()) });
    return h("div", { class: "class-row" }, pick("of", "Of", [["object", "Object"], ["image", "Image"]]), name, pick("type", "Type", TYPES), choices, h("span", { class: "grow" }),
      h("button", { class: "small-icon", "aria-label": `Remove ${one.name}`, title: "Remove", onclick: () => (defined.splice(i, 1), fill()) }, icon("trash")));
  }));
  const save = async () => {
    try {
      await post("settings", { key: newId(), attributes: defined.filter((one) => one.name) });
      await refreshProject();
      dialog.close();
    } catch (error) {
      notify(/** @type {Error} */ (error).message, { bad: true });
    }
  };
  fill();
  const add = () => {
    defined.push({ name: "", type: "text", of: "object", options: [] });
    fill();
    /** @type {HTMLElement | null} */ (rows.querySelector(".class-row:last-child input"))?.focus();
  };
  body.append(
    h("p", { class: "muted" }, "What is noted of every object or image. COCO, CVAT, Label Studio and Labelme carry it in and out."), rows,
    h("div", { class: "actions" }, h("button", { class: "quiet", onclick: add }, "Add"), h("button", { class: "primary", id: "save-attributes", onclick: () => void save() }, "Save")),
  );
}

export function startAttributes() {
  follow(["active", "objects", "image", "project"], () => draw());
}
