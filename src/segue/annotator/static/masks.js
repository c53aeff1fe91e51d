// Masks by their id, decoded once by the worker; an id never changes its meaning.
// @ts-check
/** @typedef {import("./types").Shape} Shape */
/** @typedef {import("./types").MaskMessage} MaskMessage */

const KEPT = 2000;
const worker = new Worker(new URL("./mask-worker.js", import.meta.url), { type: "module" });
/** @type {Map<number, Promise<Shape>>} */
const shapes = new Map();
/** @type {Map<number, {done: (path: string) => void, failed: (error: Error) => void}>} */
const waiting = new Map();
let count = 0;

worker.addEventListener("message", (event) => {
  const { id, path, error } = event.data;
  const answer = waiting.get(id);
  waiting.delete(id);
  if (!answer) return;
  if (error) answer.failed(new Error(error));
  else answer.done(path);
});

/** The mask ready to draw. @param {MaskMessage} mask @returns {Promise<Shape>} */
export function shapeOf(mask) {
  let shape = shapes.get(mask.id);
  if (!shape) {
    shape = decode(mask);
    shapes.set(mask.id, shape);
    if (shapes.size > KEPT) shapes.delete(shapes.keys().next().value ?? -1);
  }
  return shape;
}

/** @param {MaskMessage} mask @returns {Promise<Shape>} */
async function decode(mask) {
  const id = ++count;
  /** @type {string} */
  const path = await new Promise((done, failed) => {
    waiting.set(id, { done, failed });
    worker.postMessage({ id, mask });
  });
  return { id: mask.id, box: mask.box, area: mask.area, path: new Path2D(path) };
}
