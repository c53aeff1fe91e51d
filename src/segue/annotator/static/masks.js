// Masks by their id, decoded once by the worker; an id never changes its meaning.
// @ts-check
import { outlineOf } from "./contour.js";
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
  return shapes.get(mask.id) ?? keep(mask.id, shapeFrom(mask, inWorker(mask)));
}

/** A mask that is not saved yet. A small one is decoded here, sooner than the way to the worker and back. @param {Omit<MaskMessage, "id">} early @returns {Promise<Shape>} */
export function earlyShape(early) {
  const mask = { ...early, id: 0 };
  const [x0, y0, x1, y1] = early.box;
  const small = early.data.length < 24_000 && (x1 - x0) * (y1 - y0) < 3_000_000;
  return shapeFrom(mask, small ? outlineOf(mask) : inWorker(mask));
}

/** The mask `id` if it was decoded before. @param {number | null} id */
export const kept = async (id) => (await shapes.get(id ?? 0)) ?? null;

/** Now it is saved, as mask `id`. @param {number} id @param {Shape | Promise<Shape>} shape @returns {Promise<Shape>} */
export function keep(id, shape) {
  const promise = Promise.resolve(shape);
  shapes.set(id, promise);
  if (shapes.size > KEPT) shapes.delete(shapes.keys().next().value ?? -1);
  return promise;
}

/** @param {MaskMessage} mask @returns {Promise<string>} */
function inWorker(mask) {
  const id = ++count;
  return new Promise((done, failed) => {
    waiting.set(id, { done, failed });
    worker.postMessage({ id, mask });
  });
}

/** @param {MaskMessage} mask @param {Promise<string>} path @returns {Promise<Shape>} */
async function shapeFrom(mask, path) {
  return { box: mask.box, area: mask.area, path: new Path2D(await path) };
}
