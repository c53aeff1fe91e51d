// The model beside the page: a photo, its objects and their histories; one request after another.
// @ts-check
import { openEngine } from "./engine.js";
import { Turn, encodePhoto } from "./turn.js";
import { resizeLinear } from "./resize.js";
/** @typedef {import("./turn.js").Answer} Answer */
/** @typedef {{prompts: import("./frame.js").Prompt[], answer: Answer}} Step */

const ready = openEngine((share) => postMessage({ loading: share }));
/** @type {import("./turn.js").Features | null} */
let features = null;
/** A history for each object. @type {{done: Step[], undone: Step[]}[]} */
let objects = [];

/** @type {Record<string, (request: any) => Promise<Record<string, unknown>>>} */
const does = {
  async open({ w, h, rgba }) {
    const engine = await ready, start = performance.now(), size = w * h, data = new Uint8Array(3 * size);
    for (let i = 0; i < size; i++) for (let c = 0; c < 3; c++) data[c * size + i] = rgba[4 * i + c];
    features = await encodePhoto(engine, { w, h, data });
    objects = [];
    return { encode: performance.now() - start, threads: engine.threads };
  },
  async add({ object, prompt }) {
    if (!features) throw new Error("no photo is open");
    const { done, undone } = (objects[object] ??= { done: [], undone: [] }), last = done[done.length - 1];
    const prompts = [...(last?.prompts ?? []), prompt];
    done.push({ prompts, answer: await new Turn(await ready, features, prompts, last?.answer.memory ?? null).predict() });
    undone.length = 0;
    return shown(object);
  },
  async undo({ object }) {
    const { done, undone } = objects[object];
    const step = done.pop();
    if (step) undone.push(step);
    return shown(object);
  },
  async redo({ object }) {
    const { done, undone } = objects[object];
    const step = undone.pop();
    if (step) done.push(step);
    return shown(object);
  },
  /** The mask at the photo's own size, a byte a pixel. */
  async mask({ object }) {
    if (!features) throw new Error("no photo is open");
    const { width, height } = features.whole, step = objects[object]?.done.at(-1);
    const mask = new Uint8Array(width * height);
    if (step) resizeLinear(step.answer.memory.canvas, width, height).data.forEach((v, i) => (mask[i] = Number(v > 0)));
    return { mask };
  },
};

/** The object as the page paints it: a byte a cell of the canvas. @param {number} object */
function shown(object) {
  const { done, undone } = objects[object], step = done.at(-1), canvas = step?.answer.memory.canvas;
  return {
    prompts: step?.prompts ?? [], redo: undone.length, iou: step?.answer.iou ?? 0,
    cells: canvas ? { w: canvas.w, h: canvas.h, mask: Uint8Array.from(canvas.data, (v) => Number(v > 0)) } : null,
  };
}

let queue = Promise.resolve();
addEventListener("message", ({ data: { id, what, ...request } }) => {
  queue = queue.then(async () => {
    try {
      postMessage({ id, ...(await does[what](request)) });
    } catch (error) {
      postMessage({ id, error: error instanceof Error ? error.message : String(error) });
    }
  });
});
ready.catch((error) => postMessage({ failed: String(error?.message ?? error) }));
