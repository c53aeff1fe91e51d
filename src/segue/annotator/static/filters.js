// Which images the list shows, and in which order: it is the list that Next, Accept and the grid follow too.
// @ts-check
import { get } from "./api.js";
import { byId, h, icon } from "./dom.js";
import { state } from "./state.js";

const STATES = /** @type {const} */ ([["", "All"], ["open", "Open"], ["accepted", "Done"], ["skipped", "Skipped"]]);
const SORTS = [["path", "Name"], ["objects", "Most objects"], ["score", "Least sure"], ["recent", "Newest work"]];
const DAYS = [["", "Any time"], ["0.05", "Last hour"], ["1", "Last day"], ["7", "Last week"], ["30", "Last month"]];
const panel = byId("filter-panel");
const button = byId("filter-button");
/** What is asked of the server; empty means anything. @type {Record<string, string>} */
const wanted = {};
/** @type {() => void} */
let changed = () => {};

/** @param {Record<string, string>} more */
export const filtered = (more) => new URLSearchParams({ ...wanted, ...more });

export const isFiltered = () => Object.keys(wanted).some((key) => key !== "sort");

/** Whether accepting an image moves it in the list. */
export const isSorted = () => Boolean(wanted.sort);

/** @param {string} key @param {string} value */
function set(key, value) {
  if (value) wanted[key] = value;
  else delete wanted[key];
  for (const one of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#filters button"))) one.setAttribute("aria-checked", String(one.dataset.state === (wanted.state ?? "")));
  const hidden = Object.keys(wanted).filter((name) => !["state", "search"].includes(name)).length;
  button.classList.toggle("on", hidden > 0);
  button.title = hidden ? `Filter and sort (${hidden} set)` : "Filter and sort";
  changed();
}

/** @param {string} key @param {string} label @param {(string | number)[][]} options */
function choice(key, label, options) {
  const select = h("select", { id: `filter-${key}`, onchange: () => set(key, select.value) }, ...options.map(([value, text]) => h("option", { value: String(value) }, String(text))));
  select.value = wanted[key] ?? "";
  return h("label", { class: "field" }, h("span", {}, label), select);
}

/** @param {string} key @param {string} label @param {Record<string, unknown>} range */
function number(key, label, range) {
  const input = h("input", { type: "number", id: `filter-${key}`, ...range, value: wanted[key] ?? "", onchange: () => input.checkValidity() && set(key, input.value) });
  return h("label", { class: "field" }, h("span", {}, label), input);
}

/** @param {string} key @param {string} label */
function text(key, label) {
  const input = h("input", { type: "text", id: `filter-${key}`, maxLength: 500, value: wanted[key] ?? "", onchange: () => set(key, input.value.trim()) });
  return h("label", { class: "field" }, h("span", {}, label), input);
}

async function open() {
  panel.hidden = !panel.hidden;
  button.setAttribute("aria-expanded", String(!panel.hidden));
  if (panel.hidden) return button.focus();
  const names = await get("people");
  const failed = h("input", { type: "checkbox", id: "filter-failed", checked: wanted.failed === "true", onchange: () => set("failed", failed.checked ? "true" : "") });
  panel.replaceChildren(
    choice("sort", "Sort by", SORTS.map(([value, text]) => [value === "path" ? "" : value, text])),
    choice("state", "Verdict", [["", "Any"], ["unreviewed", "Waits for one"], ["approved", "Approved"], ["returned", "Sent back"]]),
    choice("label", "With a", [["", "Any class"], ...(state.project?.labels ?? []).map(({ id, name }) => [id, name])]),
    number("least", "Objects from", { min: 0, step: 1 }), number("most", "Objects to", { min: 0, step: 1 }),
    number("score", "Score at most", { min: 0, max: 1, step: 0.05 }),
    choice("who", "Worked on by", [["", "Anybody"], ...names.map((/** @type {string} */ name) => [name, name])]), choice("days", "When", DAYS),
    choice("attribute", "Attribute", [["", "Any"], ...new Set((state.project?.attributes ?? []).map(({ name }) => name))].map((one) => (Array.isArray(one) ? one : [one, one]))),
    text("value", "Its value"),
    h("label", { class: "row" }, failed, "Could not be opened"),
    h("button", { class: "quiet", id: "filter-clear", onclick: clear }, "No filter"),
  );
  /** @type {HTMLElement | null} */ (panel.querySelector("select"))?.focus();
}

function clear() {
  for (const key of Object.keys(wanted)) if (!["state", "search"].includes(key)) delete wanted[key];
  panel.hidden = true;
  set("sort", "");
}

/** @param {() => void} listener what shows the list anew */
export function startFilters(listener) {
  changed = listener;
  button.append(icon("filter"));
  button.addEventListener("click", () => void open());
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") void open();
    event.stopPropagation();
  });
  const states = byId("filters");
  for (const [value, label] of STATES) {
    states.append(h("button", { role: "radio", "aria-checked": String(value === ""), "data-state": value, onclick: () => set("state", value) }, label));
  }
  const input = /** @type {HTMLInputElement} */ (byId("search"));
  let timer = 0;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => set("search", input.value.trim()), 150);
  });
}
