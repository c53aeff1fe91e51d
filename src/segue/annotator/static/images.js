// The list of images: drawn only where it is seen, fetched in pages, so that 5,000 images cost what 50 do.
// @ts-check
import { arrange, byId, h, icon } from "./dom.js";
import { get } from "./api.js";
import { emit, follow, state } from "./state.js";
import { act, notify, openImage } from "./actions.js";
/** @typedef {import("./types").ImageLine} ImageLine */

const ROW = 60;
const PAGE = 100;
const FILTERS = /** @type {const} */ ([["", "All"], ["open", "Open"], ["accepted", "Done"]]);
const list = byId("image-list");
const space = byId("image-space");
/** @type {Map<number, ImageLine[]>} */
let pages = new Map();
let total = 0;
let filter = "";
let search = "";
let turn = 0;
/** @type {Set<number>} */
let asked = new Set();

async function restart() {
  turn++;
  pages = new Map();
  asked = new Set();
  await fetchPage(0);
  list.scrollTop = 0;
  draw();
}

/** @param {number} page */
async function fetchPage(page) {
  if (asked.has(page)) return;
  asked.add(page);
  const mine = turn;
  const query = new URLSearchParams({ offset: String(page * PAGE), limit: String(PAGE), search });
  if (filter) query.set("state", filter);
  /** @type {import("./types").ImagePage} */
  const answer = await get(`images?${query}`);
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
const lineAt = (at) => pages.get(Math.floor(at / PAGE))?.[at % PAGE];

function draw() {
  space.style.height = `${total * ROW}px`;
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 3);
  const last = Math.min(total, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 3);
  for (let page = Math.floor(first / PAGE); page * PAGE < last; page++) void fetchPage(page);
  const there = new Map([...space.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.key, child]));
  /** @type {Element[]} */
  const rows = [];
  for (let at = first; at < last; at++) {
    const line = lineAt(at);
    if (!line) continue;
    const key = `${at}:${line.id}:${line.state}:${line.objects}:${line.holder}:${line.id === state.image?.id}`;
    rows.push(there.get(key) ?? row(line, at, key));
  }
  if (!total) rows.push(h("p", { class: "empty" }, search || filter ? "No image matches." : "This folder holds no image."));
  arrange(space, rows);
}

/** @param {ImageLine} line @param {number} at @param {string} key */
function row(line, at, key) {
  const slash = line.path.lastIndexOf("/");
  const others = line.holder && line.id !== state.image?.id ? line.holder : "";
  const about = others
    ? others
    : { new: "", started: `${line.objects} ${line.objects === 1 ? "object" : "objects"}`, accepted: `${line.objects} done`, skipped: "skipped" }[line.state];
  const image = h("img", { alt: "", loading: "lazy", decoding: "async", src: `api/images/${line.id}/thumbnail`, onload: () => image.classList.add("there") });
  return h(
    "div",
    {
      class: `line ${line.state}${others ? " held" : ""}`, role: "option", id: `image-${line.id}`, "data-key": key, "aria-selected": String(line.id === state.image?.id), "aria-posinset": at + 1, "aria-setsize": total,
      title: line.path, style: { top: `${at * ROW}px` }, onclick: () => go(line.id),
    },
    h("span", { class: "thumb" }, image),
    h("span", { class: "grow" }, h("span", { class: "name ellipsis" }, line.path.slice(slash + 1)), h("span", { class: "about ellipsis" }, line.state === "accepted" ? icon("check") : line.state === "skipped" ? icon("skip") : null, about)),
  );
}

/** @param {number | null | undefined} id */
export async function go(id) {
  if (!id) return;
  try {
    await openImage(id);
  } catch (error) {
    notify(String(/** @type {Error} */ (error).message), { bad: true });
  }
}

export const nextImage = () => go(state.image?.next);
export const previousImage = () => go(state.image?.previous);

/** Accept or skip, and go on. @param {"accepted" | "skipped"} what */
export async function close(what) {
  const image = state.image;
  if (!image) return;
  const again = image.state === what;
  if (!(await act({ kind: "state", state: again ? "started" : what }))) return;
  if (!again && state.image?.id === image.id) {
    if (image.next) await go(image.next);
    else notify("That was the last image.");
  }
}

/** The present image's line changed. */
function touch() {
  const image = state.image;
  if (!image) return;
  for (const lines of pages.values()) {
    const line = lines.find((one) => one.id === image.id);
    if (line) Object.assign(line, { state: image.state, objects: state.objects.length });
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
  const project = await get("project");
  Object.assign(state.project, { counts: project.counts, effort: project.effort });
  drawProgress();
}

function drawProgress() {
  if (!state.project) return;
  const { counts, effort } = state.project;
  const all = counts.new + counts.started + counts.accepted + counts.skipped;
  const share = all ? Math.round((100 * (counts.accepted + counts.skipped)) / all) : 0;
  byId("progress-text").textContent = `${counts.accepted} of ${all} accepted`;
  byId("progress-share").textContent = `${share} %`;
  byId("progress-fill").style.width = `${share}%`;
  byId("progress-track").setAttribute("aria-valuenow", String(share));
  byId("effort").textContent = effort.objects
    ? `${effort.clicks.toFixed(1)} clicks and ${effort.seconds.toFixed(0)} s an object, over ${effort.objects}`
    : "Clicks and seconds an object will show here.";
}

export function startImages() {
  const filters = byId("filters");
  for (const [value, label] of FILTERS) {
    filters.append(h("button", { role: "radio", "aria-checked": String(value === filter), onclick: (/** @type {any} */ event) => {
      filter = value;
      for (const button of filters.children) button.setAttribute("aria-checked", String(button === event.currentTarget));
      void restart();
    } }, label));
  }
  const input = /** @type {HTMLInputElement} */ (byId("search"));
  let timer = 0;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      search = input.value.trim();
      void restart();
    }, 150);
  });
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
  return restart();
}

/** The folder was changed by an import or a search. */
export async function refreshImages() {
  await restart();
  await count();
  emit("image");
}
