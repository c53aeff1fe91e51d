// The list as a grid of thumbnails with their masks, over the photo.
// @ts-check
import { arrange, byId, h } from "./dom.js";
import { choose, chosen } from "./bulk.js";
import { go, lineAt, linesShown, neededTo, totalImages } from "./images.js";
import { follow, state } from "./state.js";

const CELL = { width: 200, height: 186 };
const grid = byId("grid");
const space = byId("grid-space");

export function toggleGrid() {
  grid.hidden = !grid.hidden;
  byId("grid-button").setAttribute("aria-pressed", String(!grid.hidden));
  if (grid.hidden) return byId("stage").focus();
  draw();
  grid.focus();
}

const columns = () => Math.max(1, Math.floor((grid.clientWidth - 24) / CELL.width));

function draw() {
  if (grid.hidden) return;
  const across = columns();
  const total = totalImages();
  space.style.height = `${Math.ceil(total / across) * CELL.height}px`;
  const first = Math.max(0, Math.floor(grid.scrollTop / CELL.height) - 1) * across;
  const last = Math.min(total, (Math.ceil((grid.scrollTop + grid.clientHeight) / CELL.height) + 1) * across);
  neededTo(first, last);
  const there = new Map([...space.children].map((child) => [/** @type {HTMLElement} */ (child).dataset.key, child]));
  /** @type {Element[]} */
  const cells = [];
  for (let at = first; at < last; at++) {
    const line = lineAt(at);
    if (!line) continue;
    const key = `${at}:${across}:${line.id}:${line.head}:${line.state}:${chosen.has(line.id)}:${line.id === state.image?.id}`;
    cells.push(there.get(key) ?? cell(line, at, across, key));
  }
  arrange(space, cells);
}

/** @param {import("./types").ImageLine} line @param {number} at @param {number} across @param {string} key */
function cell(line, at, across, key) {
  const name = line.path.slice(line.path.lastIndexOf("/") + 1);
  const width = 100 / across;
  return h(
    "button",
    {
      class: `cell ${line.state}`, "data-key": key, "data-id": String(line.id), title: line.path, "aria-pressed": String(chosen.has(line.id)), "aria-current": String(line.id === state.image?.id),
      style: { left: `${(at % across) * width}%`, width: `calc(${width}% - 10px)`, top: `${Math.floor(at / across) * CELL.height}px` },
      onclick: async (/** @type {MouseEvent} */ event) => choose(event, line.id, linesShown()) || ((await go(line.id)) && toggleGrid()),
    },
    h("img", { alt: "", loading: "lazy", decoding: "async", src: `api/images/${line.id}/thumbnail?masks=${line.head}` }),
    h("span", { class: "row" }, h("span", { class: "ellipsis grow" }, name), h("span", { class: "about" }, line.problem ? "cannot be read" : { new: "", started: String(line.objects), accepted: `✓ ${line.objects}`, skipped: "skipped" }[line.state])),
  );
}

export function startGrid() {
  byId("grid-button").addEventListener("click", toggleGrid);
  grid.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  grid.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns() }[event.key];
    if (event.key === "Escape") toggleGrid();
    else if (step) {
      const cells = /** @type {HTMLElement[]} */ ([...space.children]);
      const to = cells[cells.indexOf(/** @type {any} */ (document.activeElement)) + step] ?? cells[0];
      to?.focus();
      to?.scrollIntoView({ block: "nearest" });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  new ResizeObserver(draw).observe(grid);
  follow(["list", "image", "objects"], draw);
}
