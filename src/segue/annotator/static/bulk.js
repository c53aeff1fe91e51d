// Several images chosen in the list or the grid, and what is done with all of them.
// @ts-check
import { get, newId, post } from "./api.js";
import { byId, h, icon, openDialog, openMenu } from "./dom.js";
import { notify, reloadImage } from "./actions.js";
import { filtered } from "./filters.js";
import { emit, follow, state } from "./state.js";

const MOST = 5000;
const bar = byId("bulk");
/** @type {Set<number>} */
export const chosen = new Set();
/** Where a range begins. @type {number | null} */
let anchor = null;

/** A click on a row: with Ctrl it is chosen besides others, with Shift all from the last one; false where it opens. @param {MouseEvent} event @param {number} id @param {number[]} order ids that are shown */
export function choose(event, id, order) {
  if (!event.ctrlKey && !event.metaKey && !event.shiftKey) {
    anchor = id;
    if (chosen.size) clear();
    return false;
  }
  event.preventDefault();
  const [from, to] = [order.indexOf(anchor ?? id), order.indexOf(id)].sort((a, b) => a - b);
  if (event.shiftKey && from >= 0) for (const one of order.slice(from, to + 1)) chosen.add(one);
  else if (!chosen.delete(id)) chosen.add(id);
  anchor = id;
  emit("list");
  return true;
}

function clear() {
  chosen.clear();
  emit("list");
}

/** Every image of the list that is seen. */
export async function chooseAll() {
  for (let offset = 0; offset < MOST; offset += 500) {
    const page = await get(`images?${filtered({ offset: String(offset), limit: "500" })}`);
    for (const line of page.images) chosen.add(line.id);
    if (offset + 500 >= page.total) break;
  }
  emit("list");
}

/** @param {object} change @param {string} did */
async function send(change, did) {
  try {
    const { changed, skipped } = await post("bulk", { key: newId(), images: [...chosen].slice(0, MOST), change });
    const left = skipped.length ? ` Left as they were: ${skipped.slice(0, 3).join("; ")}${skipped.length > 3 ? " …" : ""}` : "";
    notify(`${changed} ${changed === 1 ? "image" : "images"} ${did}.${left} Undo works in each.`, { bad: Boolean(skipped.length) });
    clear();
    if (state.image) await reloadImage();
    emit("files");
  } catch (error) {
    notify(/** @type {Error} */ (error).message, { bad: true });
  }
}

function askToRemove() {
  const { dialog, body } = openDialog("Remove objects");
  body.append(
    h("p", {}, `Remove every object of ${chosen.size} ${chosen.size === 1 ? "image" : "images"}, except locked ones? Undo brings them back, image by image.`),
    h("div", { class: "actions" }, h("button", { class: "quiet", onclick: () => dialog.close() }, "Cancel"),
      h("button", { class: "primary", onclick: () => (dialog.close(), void send({ kind: "clear" }, "emptied")) }, "Remove them")),
  );
}

function menu() {
  openMenu(byId("bulk-menu"), [
    { label: "Accept", icon: "check", act: () => send({ kind: "state", state: "accepted" }, "accepted") },
    { label: "Skip", icon: "skip", act: () => send({ kind: "state", state: "skipped" }, "skipped") },
    { label: "Open again", icon: "undo", act: () => send({ kind: "state", state: "started" }, "opened again") },
    null,
    ...(state.project?.labels ?? []).slice(0, 12).map((label) => ({ label: `All objects: ${label.name}`, icon: /** @type {const} */ ("star"), act: () => send({ kind: "relabel", label: label.id }, `now ${label.name}`) })),
    null,
    { label: "Choose the whole list", icon: "plus", act: chooseAll },
    { label: "Remove their objects", icon: "trash", danger: true, act: askToRemove },
  ]);
}

export function startBulk() {
  bar.append(h("span", { class: "grow numbers" }), h("button", { class: "quiet", id: "bulk-menu", "aria-haspopup": "menu", "aria-expanded": "false", onclick: menu }, "Change"), h("button", { class: "small-icon", "aria-label": "Choose none", title: "Choose none", onclick: clear }, icon("close")));
  follow(["list"], () => {
    bar.hidden = !chosen.size;
    /** @type {HTMLElement} */ (bar.firstElementChild).textContent = `${chosen.size} chosen`;
  });
}
