// The numbers of the project: by class, by day, by adapter, and between people.
// @ts-check
import { get } from "./api.js";
import { h, openDialog } from "./dom.js";
/** @typedef {{name: string, objects: number, pixels: number, clicks: number, seconds: number}} Effort */

/** @param {number} value @param {number} [digits] */
const number = (value, digits = 0) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** @param {string} title @param {string[]} heads @param {(string | Node)[][]} rows */
function table(title, heads, rows) {
  return h("section", {}, h("h2", {}, title), h("table", { class: "numbers" },
    h("thead", {}, h("tr", {}, ...heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...row.map((cell, i) => h(i ? "td" : "th", i ? {} : { scope: "row" }, cell)))))));
}

/** @param {Effort} one */
const each = ({ objects, clicks, seconds }) => (objects ? [number(clicks / objects, 1), number(seconds / objects, 1)] : ["", ""]);

export async function showStatistics() {
  const { body } = openDialog("Statistics", { wide: true });
  body.append(h("p", { class: "muted" }, "Counting …"));
  /** @type {{classes: Effort[], days: Effort[], phases: Effort[], agreement: {first: string, second: string, objects: number, iou: number}[]}} */
  const found = await get("statistics").catch((error) => (body.replaceChildren(h("p", {}, error.message)), null));
  if (!found) return;
  const most = Math.max(1, ...found.classes.map((one) => one.objects));
  const bar = (/** @type {Effort} */ one) => h("span", { class: "track", title: `${one.objects}` }, h("i", { style: { width: `${(100 * one.objects) / most}%` } }));
  body.classList.add("statistics");
  body.replaceChildren(
    table("By class", ["Class", "Share", "Objects", "Pixels", "Clicks each", "Seconds each"], found.classes.map((one) => [one.name, bar(one), number(one.objects), number(one.pixels), ...each(one)])),
    table("By day", ["Day", "New objects", "Clicks each", "Seconds each"], found.days.map((one) => [one.name, number(one.objects), ...each(one)])),
    table("Before and after an adapter", ["Model", "New objects", "Clicks each", "Seconds each"], found.phases.map((one) => [one.name, number(one.objects), ...each(one)])),
    found.agreement.length
      ? table("Agreement between people", ["First", "Then", "Objects", "Mean IoU"], found.agreement.map((one) => [one.first, one.second, number(one.objects), number(one.iou, 3)]))
      : h("section", {}, h("h2", {}, "Agreement between people"), h("p", { class: "muted" }, "No object has masks of two people yet. Where a second person changes a mask, both are compared here.")),
    h("div", { class: "actions" }, h("a", { class: "button quiet", href: "api/statistics.csv", download: "", id: "statistics-csv" }, "Save as CSV")),
  );
}
