// The list of images: drawn only where it is seen, fetched in pages, so that 5,000 images cost what 50 do.
// @ts-check
import { arrange, byId, h, icon } from "./dom.js";
import { emit, follow, state, subscribe } from "./state.js";
import { act, notify, openImage } from "./actions.js";
import { Problem, get } from "./api.js";
import { choose, chosen, startBulk } from "./bulk.js";
import { filtered, isFiltered, isSorted, startFilters } from "./filters.js";
/** @typedef {import("./types").ImageLine} ImageLine */

const ROW = 60;
const PAGE = 100;
const TAIL = 9; // letters of a file name that are never cut: its number and suffix
const PATIENCE = 50; // unreadable images in a row that are stepped over
const list = byId("image-list");
const space = byId("image-space");
/** @type {Map<number, ImageLine[]>} */
let pages = new Map();
let total = 0;
let turn = 0;
/** @type {Set<number>} */
let asked = new Set();
/** Why an image could not be opened. @type {Map<number, string>} */
const unreadable = new Map();
/** @type {Map<number, HTMLElement>} */
const thumbnails = new Map();
/** The image that was accepted or skipped last, for undo. @type {number | null} */
let closed = null;

/** Fetch the list anew. @param {boolean} [stay] where it is scrolled to */
async function restart(stay = false) {
  turn++;
  pages = new Map();
  asked = new Set();
  if (!stay) list.scrollTop = 0;
  await fetchPage(Math.floor(list.scrollTop / ROW / PAGE));
  draw();
}

/** @param {number} page */
async function fetchPage(page) {
  if (asked.has(page)) return;
  asked.add(page);
  const mine = turn;
  const query = filtered({ offset: String(page * PAGE), limit: String(PAGE) });
  /** @type {import("./types").ImagePage} */
  const answer = await get(`images?${query}`).catch((error) => {
    asked.delete(page);
    throw error;
  });
  if (mine !== turn) return;
  total = answer.total;
  pages.set(page, answer.images);
  if (pages.size > 12) {
    const far = [...pages.keys()].reduce((a, b) => (Math.abs(a - page) > Math.abs(b - page) ? a : b));
    pages.delete(far);
    asked.delete(far);
  }
  draw();
}

/** @param {number} at @returns {ImageLine | undefined} */
export const lineAt = (at) => pages.get(Math.floor(at / PAGE))?.[at % PAGE];

export const totalImages = () => total;

/** Ids of the lines that are fetched, in their order. */
export const linesShown = () => [...pages].sort(([a], [b]) => a - b).flatMap(([, lines]) => lines.map((line) => line.id));

/** Fetch what is missing between two places. @param {number} first @param {number} last */
export function neededTo(first, last) {
  for (let page = Math.floor(first / PAGE); page * PAGE < last; page++) void fetchPage(page);
}

function draw() {
  emit("list");
  byId("total").textContent = isFiltered() ? `${total} of ${state.project?.images ?? total} images` : "";
  space.style.height = `${total * ROW}px`;
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 3);
  const last = Math.min(total, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 3);
  neededTo(first, last);
  const there = new Map([...space.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.key, child]));
  /** @type {Element[]} */
  const rows = [];
  for (let at = first; at < last; at++) {
    const line = lineAt(at);
    if (!line) continue;
    const key = `${at}:${line.id}:${line.state}:${line.objects}:${line.review}:${line.holder}:${line.id === state.image?.id}:${unreadable.has(line.id)}:${chosen.has(line.id)}`;
    rows.push(there.get(key) ?? row(line, at, key));
  }
  if (!total) rows.push(h("p", { class: "empty" }, isFiltered() ? "No image matches." : "This folder holds no image."));
  arrange(space, rows);
}

/** @param {ImageLine} line @param {number} at @param {string} key */
function row(line, at, key) {
  const slash = line.path.lastIndexOf("/");
  const others = line.holder && line.id !== state.image?.id ? line.holder : "";
  const about = others || unreadable.has(line.id)
    ? others || "cannot be read"
    : line.review === "returned" ? "sent back" : { new: "", started: `${line.objects} ${line.objects === 1 ? "object" : "objects"}`, accepted: `${line.objects} ${line.review || "done"}`, skipped: "skipped" }[line.state];
  const name = line.path.slice(slash + 1);
  const cut = Math.max(0, name.length - TAIL);
  return h(
    "div",
    {
      class: `line ${line.state}${others ? " held" : ""}${unreadable.has(line.id) ? " unreadable" : ""}${chosen.has(line.id) ? " chosen" : ""}`, role: "option", id: `image-${line.id}`, "data-key": key, "aria-selected": String(line.id === state.image?.id), "aria-posinset": at + 1, "aria-setsize": total,
      title: unreadable.get(line.id) ?? line.path, style: { top: `${at * ROW}px` }, onclick: (/** @type {MouseEvent} */ event) => choose(event, line.id, linesShown()) || void go(line.id),
    },
    h("span", { class: "thumb" }, thumbnail(line.id)),
    h("span", { class: "grow" }, h("span", { class: "name" }, h("span", { class: "ellipsis" }, name.slice(0, cut)), h("span", {}, name.slice(cut))), h("span", { class: "about ellipsis" }, line.state === "accepted" ? icon("check") : line.state === "skipped" ? icon("skip") : null, about)),
  );
}

/** A row that is drawn anew keeps its picture. @param {number} id */
function thumbnail(id) {
  const known = thumbnails.get(id);
  if (known) return known;
  const image = h("img", { alt: "", loading: "lazy", decoding: "async", src: `api/images/${id}/thumbnail`, onload: () => image.classList.add("there") });
  thumbnails.set(id, image);
  if (thumbnails.size > 300) thumbnails.delete(thumbnails.keys().next().value ?? 0);
  return image;
}

/** Open an image; false, and a reason shown, where that fails. @param {number | null | undefined} id @param {{history?: boolean}} [options] */
export async function go(id, options) {
  if (!id) return false;
  try {
    await openImage(id, options);
    unreadable.delete(id);
    return true;
  } catch (error) {
    const problem = /** @type {Error} */ (error);
    if (problem instanceof Problem && problem.status) unreadable.set(id, problem.message);
    draw();
    notify(problem.message, { bad: true });
    return false;
  }
}

/** The next (1) or previous (-1) image of the list that is seen. @param {1 | -1} step @param {number} [from] @returns {Promise<number | null>} */
export async function neighbour(step, from = state.image?.id ?? 0) {
  return (await get(`images/neighbour?${filtered({ of: String(from), step: String(step) })}`)).id;
}

/** The next image that is not finished, whatever the list shows. */
export async function nextUnfinished() {
  const { id } = await get(`images/neighbour?of=${state.image?.id ?? 0}&state=open`);
  const first = id ?? (await get("images?state=open&limit=1")).images[0]?.id;
  if (!first) return notify("Every image is finished.");
  await go(first);
}

/** Walk through the list that is seen, over images that cannot be read. @param {1 | -1} step @param {number | null} [known] the first to try */
async function walk(step, known) {
  /** @type {number | undefined} */
  let from = state.image?.id;
  const passed = [];
  for (let tries = 0; tries < PATIENCE; tries++) {
    const id = tries || known === undefined ? await neighbour(step, from) : known;
    if (!id) break;
    if (await go(id)) {
      if (passed.length) notify(`${passed.length === 1 ? "One image" : `${passed.length} images`} could not be read and ${passed.length === 1 ? "was" : "were"} passed over: ${unreadable.get(passed[0])}`, { bad: true });
      return;
    }
    if (!unreadable.has(id)) return; // the server does not answer
    passed.push(id);
    from = id;
  }
  notify(passed.length ? "No image after this one can be read." : step > 0 ? "That was the last image of this list." : "This is the first image of this list.");
}

export const nextImage = () => walk(1);
export const previousImage = () => walk(-1);

/** Accept or skip the image unless it is so already, and go on; never opens it again. @param {"accepted" | "skipped"} what */
export async function close(what) {
  const image = state.image;
  if (!image) return;
  const next = isSorted() ? await neighbour(1) : undefined; // what is done now may move it in the list
  if (image.state !== what) {
    if (!(await act({ kind: "state", state: what }))) return;
    closed = image.id;
  }
  if (state.image?.id === image.id) await walk(1, next);
}

/** An accepted or skipped image is worked on again. */
export async function reopen() {
  const image = state.image;
  if (image?.state === "accepted" || image?.state === "skipped") await act({ kind: "state", state: "started" });
}

/** Undo where nothing was done in this image yet: go back to the one that was accepted or skipped last, and open it again. */
export async function undoClosing() {
  const id = closed;
  closed = null;
  if (!id || id === state.image?.id) return notify("There is nothing to undo in this image.");
  if (!(await go(id)) || state.image?.id !== id || !["accepted", "skipped"].includes(state.image.state)) return;
  if (await act({ kind: "undo" })) notify(`${state.image.path} is open again.`);
}

/** The present image's line changed. */
function touch() {
  const image = state.image;
  if (!image) return;
  for (const lines of pages.values()) {
    const line = lines.find((one) => one.id === image.id);
    if (line) Object.assign(line, { state: image.state, objects: state.objects.length, head: image.head, review: image.review });
  }
  draw();
}

function reveal() {
  for (const [page, lines] of pages) {
    const at = lines.findIndex((line) => line.id === state.image?.id);
    if (at < 0) continue;
    const top = (page * PAGE + at) * ROW;
    if (top < list.scrollTop || top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 3;
  }
}

async function count() {
  if (!state.project) return;
  const { counts, effort } = await get("project"); // what else changed is for refreshProject to tell everybody
  Object.assign(state.project, { counts, effort });
  drawProgress();
}

function drawProgress() {
  if (!state.project) return;
  const { counts, effort } = state.project;
  const all = counts.new + counts.started + counts.accepted + counts.skipped;
  const share = all ? Math.round((100 * (counts.accepted + counts.skipped)) / all) : 0;
  byId("progress-text").textContent = `${counts.accepted} of ${all} accepted${counts.skipped ? `, ${counts.skipped} skipped` : ""}`;
  byId("progress-share").textContent = `${share} %`;
  byId("progress-fill").style.width = `${share}%`;
  byId("progress-track").setAttribute("aria-valuenow", String(share));
  byId("effort").textContent = effort.objects
    ? `${effort.clicks.toFixed(1)} clicks and ${effort.seconds.toFixed(0)} s an object, over ${effort.objects}`
    : "Clicks and seconds an object will show here.";
}

export function startImages() {
  startFilters(() => void restart());
  startBulk();
  list.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  new ResizeObserver(draw).observe(list);
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: nextImage, ArrowUp: previousImage }[event.key];
    if (!step) return;
    event.preventDefault();
    void step();
  });
  let counting = 0;
  follow(["objects"], () => {
    touch();
    clearTimeout(counting);
    counting = window.setTimeout(() => void count(), 600);
  });
  follow(["image"], () => {
    draw();
    reveal();
    list.setAttribute("aria-activedescendant", `image-${state.image?.id}`);
    clearTimeout(counting);
    counting = window.setTimeout(() => void count(), 50);
  });
  follow(["project"], drawProgress);
  subscribe(["files"], () => void refreshImages());
  return restart();
}

/** The folder was changed by an import or a search. */
export async function refreshImages() {
  await restart(true);
  await count();
}

/** Classes, settings or files were changed elsewhere. */
export async function refreshProject() {
  const files = state.project?.images;
  state.project = await get("project");
  emit("project");
  if (files !== state.project?.images) await restart(true);
}
