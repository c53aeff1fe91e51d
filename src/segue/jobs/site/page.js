// The page: a photo in, prompts to the model, masks out.
// @ts-check
import { draw, fit, tinted, view, zoom } from "./stage.js";
import { coco, cutout, download, maskPng } from "./save.js";
import { startHand } from "./hand.js";
/** @typedef {import("./frame.js").Prompt} Prompt */

const COLOURS = /** @type {[number, number, number][]} */ ([[255, 64, 160], [0, 190, 255], [255, 176, 0], [140, 255, 60], [190, 120, 255], [255, 96, 64]]);
const SAMPLES = ["cat", "coffee", "astronaut", "rocket"], LARGEST = 60e6;
const ICONS = {
  add: "M12 5v14M5 12h14", remove: "M5 12h14", move: "M12 3v18M3 12h18M12 3l-3 3M12 3l3 3M12 21l-3-3M12 21l3-3M3 12l3-3M3 12l3 3M21 12l-3-3M21 12l-3 3",
  undo: "M9 14 4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3", redo: "M15 14l5-5-5-5M20 9H10a6 6 0 0 0 0 12h3", next: "M4 4h10v10H4zM18 12v8M14 16h8",
  in: "M11 8v6M8 11h6M20 20l-4-4M18 11a7 7 0 1 1-14 0 7 7 0 0 1 14 0", out: "M8 11h6M20 20l-4-4M18 11a7 7 0 1 1-14 0 7 7 0 0 1 14 0", fit: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
};
const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const button = (/** @type {string} */ id) => /** @type {HTMLButtonElement} */ (byId(id));
const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
/** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */
const waiting = new Map();
let count = 0, file = "photo.jpg", pending = 0, opening = 0;

export const state = { tool: /** @type {"add" | "remove" | "move"} */ ("add") };

/** @param {string} what @param {object} request @param {Transferable[]} give @returns {Promise<any>} */
function ask(what, request = {}, give = []) {
  return new Promise((resolve, reject) => {
    waiting.set(++count, { resolve, reject });
    worker.postMessage({ id: count, what, ...request }, give);
  });
}

worker.addEventListener("message", ({ data }) => {
  if ("loading" in data) {
    if (data.loading === 1 && document.body.dataset.state === "loading") say("ready", "Ready");
  } else if ("failed" in data) say("failed", `The model cannot be loaded: ${data.failed}`);
  else {
    const { resolve, reject } = /** @type {{resolve: (value: any) => void, reject: (error: Error) => void}} */ (waiting.get(data.id));
    waiting.delete(data.id);
    if (data.error) reject(new Error(data.error));
    else resolve(data);
  }
});
worker.addEventListener("error", () => say("failed", "This browser cannot run the model: it needs WebAssembly with SIMD."));

/** @param {string} kind @param {string} text */
function say(kind, text) {
  document.body.dataset.state = kind;
  byId("status").textContent = text;
}

/** @param {Blob} blob @param {string} title */
export async function open(blob, title) {
  const turn = ++opening;
  /** @type {ImageBitmap} */
  let photo;
  try {
    photo = await createImageBitmap(blob);
  } catch {
    byId("status").textContent = `${title} is not a picture that this browser can read.`;
    return;
  }
  if (photo.width * photo.height > LARGEST) {
    byId("status").textContent = `${title} has ${Math.round((photo.width * photo.height) / 1e6)} million pixels; this page takes up to ${LARGEST / 1e6}.`;
    return;
  }
  if (turn !== opening) return;
  file = title;
  Object.assign(view, { photo, items: [fresh(0)], active: 0, band: null });
  byId("start").hidden = true;
  byId("tools").hidden = false;
  say("encoding", "Looking at the photo …");
  fit();
  update();
  const canvas = new OffscreenCanvas(photo.width, photo.height), context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.drawImage(photo, 0, 0);
  const { data } = context.getImageData(0, 0, photo.width, photo.height);
  try {
    const { encode, threads } = await ask("open", { w: photo.width, h: photo.height, rgba: data }, [data.buffer]);
    if (turn !== opening) return;
    document.body.dataset.encode = String(encode);
    say("open", title);
    byId("speed").textContent = `photo ${Math.round(encode)} ms${threads > 1 ? `, ${threads} threads` : ""}`;
  } catch (error) {
    if (turn === opening) say("failed", /** @type {Error} */ (error).message);
  }
}

/** @param {number} index @returns {import("./stage.js").Item} */
const fresh = (index) => ({ colour: COLOURS[index % COLOURS.length], prompts: [], paint: null, any: false, redo: 0 });

/** Show what the model says of an object. @param {number} object @param {Promise<any>} answer @param {number} since */
async function show(object, answer, since) {
  const turn = opening;
  document.body.dataset.pending = String(++pending);
  try {
    const { prompts, redo, cells } = await answer;
    if (turn !== opening) return;
    const item = view.items[object];
    Object.assign(item, { prompts, redo, paint: cells && tinted(cells, item.colour), any: Boolean(cells?.mask.includes(1)) });
    byId("status").textContent = file; // whatever was said of the mask before
    draw();
    update();
    requestAnimationFrame(() => setTimeout(() => {
      document.body.dataset.painted = String(performance.now() - since);
      byId("speed").textContent = `click to mask ${Math.round(performance.now() - since)} ms`;
    }));
  } catch (error) {
    byId("status").textContent = /** @type {Error} */ (error).message;
  } finally {
    document.body.dataset.pending = String(--pending);
  }
}

/** @param {Prompt} prompt @param {number} since */
export function add(prompt, since) {
  if (document.body.dataset.state !== "open") return;
  const { active } = view, item = view.items[active];
  item.prompts = [...item.prompts, prompt]; // at once; the answer follows
  draw();
  void show(active, ask("add", { object: active, prompt }), since);
}

/** @type {Record<string, () => void>} */
export const commands = {
  add: () => choose("add"), remove: () => choose("remove"), move: () => choose("move"),
  undo: () => view.items[view.active]?.prompts.length && void show(view.active, ask("undo", { object: view.active }), performance.now()),
  redo: () => view.items[view.active]?.redo && void show(view.active, ask("redo", { object: view.active }), performance.now()),
  next() {
    if (!view.items[view.active]?.prompts.length) return;
    const empty = view.items.findIndex((item) => !item.prompts.length);
    select(empty < 0 ? view.items.push(fresh(view.items.length)) - 1 : empty);
  },
  in: () => zoom(1.4), out: () => zoom(1 / 1.4), fit,
};

/** @param {"add" | "remove" | "move"} tool */
function choose(tool) {
  state.tool = tool;
  document.body.toggleAttribute("data-moving", tool === "move");
  update();
}

/** @param {number} index */
function select(index) {
  view.active = index;
  draw();
  update();
}

function update() {
  const item = view.items[view.active];
  for (const tool of ["add", "remove", "move"]) byId(`do-${tool}`).setAttribute("aria-pressed", String(state.tool === tool));
  button("do-undo").disabled = button("do-next").disabled = !item?.prompts.length;
  button("do-redo").disabled = !item?.redo;
  button("save").disabled = !view.items.some(({ any }) => any);
  const chips = view.items.map(({ colour }, i) => {
    const chip = Object.assign(document.createElement("button"), { textContent: `${i + 1}`, onclick: () => select(i) });
    chip.setAttribute("role", "radio");
    chip.setAttribute("aria-checked", String(i === view.active));
    chip.setAttribute("aria-label", `Object ${i + 1}`);
    chip.style.setProperty("--swatch", `rgb(${colour})`);
    return chip;
  });
  byId("objects").replaceChildren(...(view.items.length > 1 ? chips : []));
}

const stem = () => file.replace(/\.[^.]*$/, "");
const maskOf = async (/** @type {number} */ object) => /** @type {Uint8Array} */ ((await ask("mask", { object })).mask);

/** @param {(photo: ImageBitmap, mask: Uint8Array) => Promise<Blob | null>} make @param {string} ending */
async function saveObject(make, ending) {
  const mask = await maskOf(view.active), blob = view.photo && mask.includes(1) && (await make(view.photo, mask));
  if (blob) download(blob, `${stem()}${view.items.length > 1 ? `-${view.active + 1}` : ""}${ending}`);
  else byId("status").textContent = "This object has no mask yet.";
}

async function saveCoco() {
  if (!view.photo) return;
  const masks = (await Promise.all(view.items.map((_, i) => maskOf(i)))).filter((mask) => mask.includes(1));
  download(coco(file, view.photo.width, view.photo.height, masks), `${stem()}.json`);
}

function start() {
  /** @type {Record<string, string>} */
  const titles = { add: "Add (A)", remove: "Remove (D)", move: "Move (M, or hold space)", undo: "Undo (Z)", redo: "Redo (Y)", next: "Next object (N)", in: "Zoom in (+)", out: "Zoom out (-)", fit: "Fit (F)" };
  for (const [command, path] of Object.entries(ICONS)) {
    const made = Object.assign(document.createElement("button"), { id: `do-${command}`, title: titles[command], onclick: () => commands[command]() });
    made.setAttribute("aria-label", made.title);
    made.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${path}"/></svg>`;
    byId("tools").append(made);
    if (["move", "next"].includes(command)) byId("tools").append(document.createElement("i"));
  }
  for (const sample of SAMPLES) {
    const made = Object.assign(document.createElement("button"), { title: `Open the photo ${sample}`, onclick: async () => open(await (await fetch(`samples/${sample}.jpg`)).blob(), `${sample}.jpg`) });
    made.append(Object.assign(new Image(), { src: `samples/${sample}.jpg`, alt: sample }));
    byId("samples").append(made);
  }
  const field = /** @type {HTMLInputElement} */ (byId("file"));
  field.onchange = () => { if (field.files?.[0]) void open(field.files[0], field.files[0].name); field.value = ""; };
  byId("open").onclick = byId("choose").onclick = () => field.click();
  byId("save-mask").onclick = () => void saveObject((photo, mask) => maskPng(mask, photo.width, photo.height), "-mask.png");
  byId("save-cutout").onclick = () => void saveObject(cutout, "-cutout.png");
  byId("save-coco").onclick = () => void saveCoco();
  byId("menu").addEventListener("click", () => byId("menu").hidePopover());
  startHand({ add, open, commands, state });
  update();
  void navigator.serviceWorker?.register("offline.js").catch(() => undefined); // pages that are not secure have none
}

start();
