// The open image: every action goes to the server in order, and the page shows what came back as saved.
// @ts-check
import { Problem, began, get, newId, painted, post, postAction, request, saved } from "./api.js";
import { earlyShape, keep, knownShape, shapeOf } from "./masks.js";
import { active, emit, objectOf, resetColours, state } from "./state.js";
/** @typedef {import("./types").Action} Action */
/** @typedef {import("./types").Outcome} Outcome */
/** @typedef {import("./types").ObjectMessage} ObjectMessage */
/** @typedef {import("./state.js").Drawn} Drawn */

const IDLE = 20; // seconds after which a pause is not counted as work
/** Newest journal entry seen, by image. @type {Map<number, number>} */
const heads = new Map();
/** Actions under way, by image. @type {Map<number, Promise<unknown>>} */
const queues = new Map();
let lastAction = performance.now();
let opening = 0;
/** @type {(message: string, options?: {bad?: boolean, action?: {label: string, act: () => void}}) => void} */
export let notify = () => {};

/** @param {typeof notify} how */
export function setNotify(how) {
  notify = how;
}

/** Open an image; a later call overtakes. @param {number} id @param {boolean} [force] */
export async function openImage(id, force = false) {
  const turn = ++opening;
  const before = state.image?.id;
  if (before && before !== id) request("DELETE", `images/${before}/hold`).catch(() => {});
  const image = await post(`images/${id}/open`, { force });
  const objects = await withShapes(image.objects);
  if (turn !== opening) return;
  heads.set(id, Math.max(image.head, queues.has(id) ? heads.get(id) ?? 0 : 0));
  Object.assign(state, { image, objects, pending: [], polygon: null, crosshair: null, lastClick: 0 });
  if (before !== id) resetColours();
  state.active = before === id && objectOf(state.active) ? state.active : null;
  state.status = null;
  lastAction = performance.now();
  history.replaceState(null, "", `#${id}`);
  if (!image.mine && image.holder) {
    notify(`${image.holder} is working on this image. You can look; nothing you do is saved.`, {
      action: { label: "Take over", act: () => openImage(id, true) },
    });
  } else {
    notify("");
  }
  emit("image", "objects", "active", "pending", "status", "polygon");
}

/** Show what the server has, for instance after it changed elsewhere. */
export async function reloadImage() {
  const id = state.image?.id;
  if (!id) return;
  const image = await get(`images/${id}`);
  const objects = await withShapes(image.objects);
  if (state.image?.id !== id) return;
  heads.set(id, image.head);
  Object.assign(state, { image, objects, pending: [] });
  if (!objectOf(state.active)) state.active = null;
  emit("image", "objects", "active", "pending");
}

/**
 * Carry out an action on the open image; resolves once it is saved and drawn, false if it was refused.
 * @param {Action} action @param {number} [at] when the person asked, for the latency figure
 * @returns {Promise<boolean>}
 */
export function act(action, at) {
  const image = state.image;
  if (!image) return Promise.resolve(false);
  return actOn(image.id, action, at);
}

/** @param {number} id @param {Action} action @param {number} [at] @returns {Promise<boolean>} */
export function actOn(id, action, at) {
  const now = performance.now();
  const seconds = Math.min((now - lastAction) / 1000, IDLE);
  lastAction = now;
  state.saving++;
  emit("status");
  const turn = (queues.get(id) ?? Promise.resolve()).then(() => send(id, action, seconds, at));
  queues.set(id, turn);
  return turn.finally(() => {
    state.saving--;
    if (queues.get(id) === turn) queues.delete(id);
    emit("status");
  });
}

/** Whether actions are under way. @param {number} id */
export const busy = (id) => queues.has(id);

/** @param {number} id */
export const headOf = (id) => heads.get(id) ?? 0;

/** @param {number} id @param {Action} action @param {number} seconds @param {number | undefined} at */
async function send(id, action, seconds, at) {
  if (!heads.has(id)) heads.set(id, (await get(`images/${id}`)).head);
  const key = newId();
  const early = action.kind === "prompt" ? new Unsaved(id, action) : null;
  for (;;) {
    const trace = at === undefined ? null : began(at);
    try {
      const body = { key, seen: heads.get(id), seconds, action };
      const outcome = await postAction(`images/${id}/actions`, body, (answer) => early?.show(answer, trace));
      heads.set(id, outcome.head);
      state.problem = "";
      if (trace) saved(trace, outcome.took);
      if (state.image?.id === id) await apply(outcome, action, early);
      return true;
    } catch (error) {
      if (error instanceof Problem) {
        await refused(id, error, early);
        return false;
      }
      state.problem = "Not saved: the server does not answer. Trying again";
      emit("status");
      await new Promise((done) => setTimeout(done, 700));
    }
  }
}

/** A prompt's answer that is on the screen while the server saves it. */
class Unsaved {
  /** @param {number} image @param {Action} action */
  constructor(image, action) {
    this.image = image;
    this.id = String(action.object);
    this.prompts = /** @type {import("./types").Prompt[]} */ (action.prompts);
    this.label = /** @type {number | null} */ (action.label);
    /** The object before this prompt. @type {Drawn | null | undefined} */
    this.before = undefined;
    /** @type {Promise<import("./types").Shape> | null} */
    this.shape = null;
  }

  /** @param {import("./types").Early} answer @param {ReturnType<typeof began> | null} trace */
  show(answer, trace) {
    trace?.mark("answered");
    this.shape = earlyShape(answer);
    void this.shape.then((shape) => {
      if (state.image?.id !== this.image) return;
      trace?.mark("decoded");
      this.put(shape);
      if (trace) painted(trace);
    });
  }

  /** @param {import("./types").Shape} shape */
  put(shape) {
    if (this.before === undefined) {
      this.before = objectOf(this.id);
      state.pending = state.pending.slice(this.prompts.length);
    }
    /** @type {Drawn} */
    const blank = { id: this.id, label: this.label, locked: false, hidden: false, mask_id: null, mask: null, prompts: [], origin: "prompt", score: 0, clicks: 0, strokes: 0, seconds: 0, shape };
    const object = { ...(this.before ?? blank), shape, prompts: [...(this.before ?? blank).prompts, this.prompts] };
    const at = state.objects.findIndex((other) => other.id === this.id);
    state.objects = at < 0 ? [...state.objects, object] : state.objects.with(at, object);
    emit("mask");
  }
}

/** @param {number} id @param {Problem} error @param {Unsaved | null} early */
async function refused(id, error, early) {
  notify(error.message, { bad: true });
  if (state.image?.id !== id) return;
  if (error.status === 409 || early?.shape) {
    await reloadImage();
  } else {
    state.pending = [];
    state.stroke = null;
    if (!objectOf(state.active)) state.active = null;
    emit("pending", "active", "stroke");
  }
}

/** @param {Outcome} outcome @param {Action} action @param {Unsaved | null} early */
async function apply(outcome, action, early) {
  const shown = early?.shape ? await early.shape.catch(() => null) : null;
  if (early?.shape && !shown) return reloadImage();
  for (const { id, mask, mask_id } of outcome.changed) {
    if (shown && !mask && mask_id && id === early?.id) void keep(mask_id, shown);
  }
  const changed = await withShapes(outcome.changed);
  const image = state.image;
  if (!image) return;
  const byId = new Map(state.objects.map((object) => [object.id, object]));
  for (const object of changed) byId.set(object.id, object);
  state.objects = outcome.order.flatMap((id) => byId.get(id) ?? []);
  Object.assign(image, { head: outcome.head, state: outcome.state, can_undo: outcome.can_undo, can_redo: outcome.can_redo });
  if (early) {
    if (early.before === undefined) state.pending = state.pending.slice(early.prompts.length);
    state.lastClick = outcome.took.model;
  }
  if (action.kind === "stroke") state.stroke = null;
  if (action.kind === "redo") state.active = changed.at(-1)?.id ?? state.active;
  if (!objectOf(state.active) && !state.pending.length && !state.stroke) state.active = null;
  emit("objects", "active", "pending", "status");
}

/** @param {ObjectMessage[]} objects @returns {Promise<Drawn[]>} */
async function withShapes(objects) {
  return Promise.all(
    objects.map(async (object) => {
      const known = objectOf(object.id);
      const shape = object.mask ? await shapeOf(object.mask) : known?.mask_id === object.mask_id ? known.shape : await knownShape(object.mask_id);
      return { ...object, mask: null, shape };
    }),
  );
}

/** The id of the next new object. */
let upcoming = newId();

/** The object that a prompt or stroke goes to; a new one when none is active. */
export function target() {
  const object = active();
  if (object?.locked) {
    notify("This object is locked. Unlock it to change it.", {});
    return null;
  }
  if (!state.active) {
    state.active = upcoming;
    upcoming = newId();
    emit("active");
  }
  return state.active;
}

/** Let the model begin: these prompts will probably follow. @param {import("./types").Prompt[]} prompts */
export function guess(prompts) {
  const id = state.image?.id;
  if (!id || !heads.has(id) || busy(id) || active()?.locked) return;
  const action = { kind: "prompt", object: state.active ?? upcoming, prompts, label: state.label };
  post(`images/${id}/guesses`, { seen: heads.get(id), action }).catch(() => {});
}

/** Ask the model. @param {import("./types").Prompt[]} prompts @param {number} [at] */
export function prompt(prompts, at) {
  const object = target();
  if (!object) return Promise.resolve(false);
  state.pending = [...state.pending, ...prompts];
  emit("pending");
  return act({ kind: "prompt", object, prompts, label: state.label }, at);
}

export function finishObject() {
  state.active = null;
  emit("active", "objects");
}

/** @param {string | null} id */
export function select(id) {
  state.active = id;
  state.polygon = null;
  emit("active", "objects", "polygon");
}
