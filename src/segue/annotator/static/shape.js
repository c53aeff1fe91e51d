// Shaping a mask by a rule, with a preview of what it adds and takes; parts, merging, subtracting.
// @ts-check
import { get, newId } from "./api.js";
import { act, notify } from "./actions.js";
import { byId, h } from "./dom.js";
import { earlyShape } from "./masks.js";
import { active, become, follow, nameOf, objectOf, rest, state } from "./state.js";

/** Rules: what the slider means, its range, and where it begins. @type {Record<string, {title: string, unit: "px" | "px²", most: number, first: number}>} */
const RULES = {
  "fill-holes": { title: "Fill holes", unit: "px²", most: 1e6, first: 1000 },
  "drop-islands": { title: "Drop islands", unit: "px²", most: 1e6, first: 1000 },
  smooth: { title: "Smooth", unit: "px", most: 20, first: 2 },
  grow: { title: "Grow", unit: "px", most: 50, first: 2 },
  shrink: { title: "Shrink", unit: "px", most: 50, first: 2 },
};
const panel = byId("shaping");
const slider = h("input", { type: "range", min: "0", max: "100", "aria-label": "How much", oninput: () => void preview() });
const amountText = h("output", { class: "numbers" });
/** @type {Map<string, HTMLButtonElement>} */
const buttons = new Map();
let how = "fill-holes";
let turn = 0;
/** Where each rule's slider stands. @type {Map<string, number>} */
const places = new Map();

/** Fine where little is changed. @param {string} rule @param {number} value of the slider */
function amountAt(rule, value) {
  const { unit, most } = RULES[rule];
  const amount = Math.pow(most + 1, value / 100) - 1;
  return unit === "px" ? Math.round(amount * 2) / 2 : Math.round(amount);
}

/** @param {string} rule */
const valueOf = (rule) => places.get(rule) ?? Math.round((100 * Math.log(RULES[rule].first + 1)) / Math.log(RULES[rule].most + 1));

export function openShaping() {
  const object = active();
  if (state.hand.doing === "shaping") return rest();
  if (!object?.shape) return notify("Choose the object to shape first.");
  if (object.locked) return notify("This object is locked. Unlock it to change it.");
  become({ doing: "shaping", how, amount: 0, object: object.id, shape: null });
  choose(how);
  buttons.get(how)?.focus();
}

/** @param {string} rule */
function choose(rule) {
  how = rule;
  slider.value = String(valueOf(rule));
  for (const [name, button] of buttons) {
    button.setAttribute("aria-checked", String(name === rule));
    button.tabIndex = name === rule ? 0 : -1;
  }
  void preview();
}

async function preview() {
  const hand = state.hand;
  if (hand.doing !== "shaping" || !state.image) return;
  const mine = ++turn;
  places.set(how, Number(slider.value));
  const amount = amountAt(how, Number(slider.value));
  Object.assign(hand, { how, amount });
  amountText.textContent = `${amount.toLocaleString("en")} ${RULES[how].unit}`;
  try {
    const seen = await get(`images/${state.image.id}/objects/${hand.object}/shape?how=${how}&amount=${amount}&frame=${state.image.frame}`);
    const shape = await earlyShape(seen);
    if (mine !== turn || state.hand !== hand) return;
    const change = seen.area - (objectOf(hand.object)?.shape?.area ?? 0);
    byId("shaping-text").textContent = change ? `${change > 0 ? "+" : "−"}${Math.abs(change).toLocaleString("en")} px` : "changes nothing";
    become(Object.assign(hand, { shape }));
  } catch (error) {
    if (mine !== turn) return;
    byId("shaping-text").textContent = /** @type {Error} */ (error).message;
  }
}

/** Keep what is previewed. */
export function applyShaping() {
  const hand = state.hand;
  if (hand.doing !== "shaping") return;
  rest();
  void act({ kind: "shape", object: hand.object, how: hand.how, amount: hand.amount });
  byId("stage").focus();
}

/** @param {string} id */
export const splitObject = (id) => void act({ kind: "split", object: id, parts: newId() });

/** The picked objects besides `id` become part of it, or are taken from it. @param {string} id @param {"merge" | "subtract"} what */
export function combine(id, what) {
  const others = [...state.picked].filter((other) => other !== id && objectOf(other));
  if (!others.length) return notify(`Ctrl click the rows of the objects to ${what === "merge" ? "merge with" : "subtract from"} ${nameOf(id)} first.`);
  void act({ kind: "combine", object: id, others, how: what });
}

/** @param {KeyboardEvent} event */
function keys(event) {
  const names = [...buttons.keys()];
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step && event.target !== slider) {
    choose(names[(names.indexOf(how) + step + names.length) % names.length]);
    buttons.get(how)?.focus();
  } else if (event.key === "Escape") {
    rest();
    byId("stage").focus();
  } else if (event.key === "Enter") applyShaping();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

export function startShaping() {
  for (const [name, { title }] of Object.entries(RULES)) {
    buttons.set(name, h("button", { role: "radio", "aria-checked": "false", onclick: () => choose(name) }, title));
  }
  panel.append(
    h("div", { class: "segments", role: "radiogroup", "aria-label": "Rule" }, ...buttons.values()),
    h("div", { class: "row" }, slider, amountText, h("span", { id: "shaping-text", class: "muted numbers grow ellipsis", role: "status" }),
      h("button", { class: "quiet", onclick: () => rest() }, "Cancel"), h("button", { class: "primary", id: "shaping-apply", onclick: applyShaping }, "Apply")),
  );
  panel.addEventListener("keydown", keys);
  follow(["hand", "active"], () => {
    panel.hidden = state.hand.doing !== "shaping";
    if (state.hand.doing === "shaping" && state.hand.object !== state.active) rest();
  });
}
