// The open image: every action goes to the server in order, and the page shows what came back as saved.
// @ts-check
import { Problem, began, get, newId, painted, post, postAction, request, saved } from "./api.js";
import { earlyShape, keep, knownShape, shapeOf } from "./masks.js";
import { active, become, emit, objectOf, resetColours, rest, state } from "./state.js";
/** @typedef {import("./types").Action} Action */
/** @typedef {import("./types").Outcome} Outcome */
/** @typedef {import("./types").ObjectMessage} ObjectMessage */
/** @typedef {import("./state.js").Drawn} Drawn */
/** @typedef {{bad?: boolean, actions?: {label: string, act: () => void}[]}} Notice */

const IDLE = 20; // seconds after which a pause is not counted as work
/** Newest journal entry seen, by image. @type {Map<number, number>} */
const heads = new Map();
/** Actions under way, by image. @type {Map<number, Promise<unknown>>} */
const queues = new Map();
/** Objects that were removed; what was meant for one of them goes to a new one. @type {Set<string>} */
const removed = new Set();
let lastAction = performance.now();
let opening = 0;
/** The id of the next new object. */
let upcoming = newId();
/** @type {(message: string, options?: Notice) => void} */
export let notify = () => {};

/** @param {typeof notify} how */
export function setNotify(how) {
  notify = how;
}

/**
 * Open an image, of a clip one `frame` (the one that was seen last without it); a later call overtakes. `look`: only look at it, nothing is encoded.
 * @param {number} id @param {{force?: boolean, history?: boolean, frame?: number, look?: boolean}} [options]
 */
export async function openImage(id, { force = false, history: remember = true, frame, look = false } = {}) {
  const turn = ++opening;
  const before = state.image?.id;
  const wanted = frame ?? (Number(sessionStorage.getItem(`segue.frame.${id}`)) || 0);
  /** @type {import("./types").ImageMessage} */
  const image = await (look ? get(`images/${id}?frame=${wanted}`) : post(`images/${id}/open`, { force, frame: wanted })).catch((error) => {
    if (frame !== undefined || !wanted) throw error;
    return post(`images/${id}/open`, { force }); // the clip is shorter now
  });
  if (image.frames) sessionStorage.setItem(`segue.frame.${id}`, String(image.frame));
  const [objects] = await Promise.all([withShapes(image.objects), drawFindings(image.findings)]);
  if (turn !== opening) return;
  if (before && before !== id) request("DELETE", `images/${before}/hold`).catch(() => {});
  heads.set(id, Math.max(image.head, queues.has(id) ? heads.get(id) ?? 0 : 0));
  Object.assign(state, { image, objects, polygon: null, lastClick: 0, problem: "", reviewLater: false, status: null, picked: new Set() });
  if (before !== id) resetColours();
  if (before !== id || !objectOf(state.active)) state.active = null;
  lastAction = performance.now();
  if (location.hash !== `#${id}`) history[remember && before ? "pushState" : "replaceState"](null, "", `#${id}`);
  if (!image.mine && image.holder) sayHeld(image.holder);
  else if (image.replaced) sayReplaced();
  else if (before !== id) notify("");
  rest();
  emit("image", "objects", "active", "pending", "status", "polygon");
}

/** @param {string} holder */
function sayHeld(holder) {
  const id = state.image?.id ?? 0;
  notify(`${holder} is working on this image. You can look; nothing you do is saved.`, {
    actions: [{ label: "Take over", act: () => openImage(id, { force: true }) }],
  });
}

/** The photo is another one than the masks were made on. */
function sayReplaced() {
  const settle = async (/** @type {"keep" | "remove"} */ masks) => {
    if (state.image && (await act({ kind: "replaced", masks }))) await openImage(state.image.id);
  };
  notify("This file was replaced since its masks were made.", {
    bad: true, actions: [{ label: "Keep the masks", act: () => settle("keep") }, { label: "Remove them", act: () => settle("remove") }],
  });
}

/** Somebody took the image over. @param {string} holder */
export function lostHold(holder) {
  if (!state.image?.mine) return;
  state.image.mine = false;
  rest();
  sayHeld(holder);
}

/** Show what the server has, for instance after it changed elsewhere. */
export async function reloadImage() {
  const id = state.image?.id;
  if (!id) return;
  const image = await get(`images/${id}?frame=${state.image?.frame ?? 0}`);
  const [objects] = await Promise.all([withShapes(image.objects), drawFindings(image.findings)]);
  if (state.image?.id !== id || state.image.frame !== image.frame) return;
  heads.set(id, image.head);
  Object.assign(state, { image, objects });
  if (!objectOf(state.active)) state.active = null;
  rest();
  emit("image", "objects", "active");
}

/** An action on its way: what it shows until it is answered, and what was there before. */
export class Work {
  /** @param {number} image @param {Action} action @param {import("./brush.js").Stroke} [stroke] */
  constructor(image, action, stroke) {
    this.image = image;
    this.frame = state.image?.id === image ? state.image.frame : 0;
    this.action = action;
    this.stroke = stroke;
    /** @type {import("./types").Prompt[]} */
    this.prompts = action.kind === "prompt" ? /** @type {any} */ (action.prompts) : [];
    /** The object before this prompt. @type {Drawn | null | undefined} */
    this.before = undefined;
    /** The model's mask, while it is being saved. @type {Promise<import("./types").Shape> | null} */
    this.shape = null;
  }

  /** What was meant for an object that was removed meanwhile goes to a new one. */
  redirect() {
    const { kind, object } = this.action;
    if ((kind !== "prompt" && kind !== "stroke") || !removed.has(String(object))) return;
    const id = newId();
    if (state.active === object) state.active = id;
    this.action = { ...this.action, object: id };
  }

  begin() {
    if (!this.stroke && !this.prompts.length) return;
    state.pending = [...state.pending, this];
    emit("pending");
  }

  end() {
    if (!state.pending.includes(this)) return;
    state.pending = state.pending.filter((other) => other !== this);
    emit("pending");
  }

  /** @param {import("./types").Early} answer @param {ReturnType<typeof began> | null} trace */
  show(answer, trace) {
    trace?.mark("answered");
    this.shape = earlyShape(answer);
    void this.shape.then((shape) => {
      if (state.image?.id !== this.image || state.image.frame !== this.frame) return;
      trace?.mark("decoded");
      this.put(shape);
      if (trace) painted(trace);
    });
  }

  /** @param {import("./types").Shape} shape */
  put(shape) {
    const id = String(this.action.object);
    if (this.before === undefined) {
      this.before = objectOf(id);
      state.pending = state.pending.filter((other) => other !== this);
    }
    /** @type {Drawn} */
    const blank = { id, label: /** @type {any} */ (this.action.label), locked: false, hidden: false, mask_id: null, mask: null, attributes: {}, prompts: [], origin: "prompt", score: 0, clicks: 0, strokes: 0, seconds: 0, shape };
    const object = { ...(this.before ?? blank), shape, prompts: [...(this.before ?? blank).prompts, this.prompts] };
    const at = state.objects.findIndex((other) => other.id === id);
    state.objects = at < 0 ? [...state.objects, object] : state.objects.with(at, object);
    emit("mask");
  }
}

/**
 * Carry out an action on the open image; resolves once it is saved and drawn, false if it was refused. `at`: when the
 * person asked, for the latency figure.
 * @param {Action} action @param {{at?: number, stroke?: import("./brush.js").Stroke}} [options] @returns {Promise<boolean>}
 */
export function act(action, options) {
  return state.image ? actOn(state.image.id, action, options) : Promise.resolve(false);
}

/** @param {number} id @param {Action} action @param {{at?: number, stroke?: import("./brush.js").Stroke}} [options] @returns {Promise<boolean>} */
export function actOn(id, action, { at, stroke } = {}) {
  const now = performance.now();
  const seconds = Math.min((now - lastAction) / 1000, IDLE);
  lastAction = now;
  const work = new Work(id, action, stroke);
  state.saving++;
  work.begin();
  if (action.kind === "remove" && action.object === state.active) finishObject(); // what follows is another object
  emit("status");
  const turn = (queues.get(id) ?? Promise.resolve()).then(() => send(work, seconds, at));
  queues.set(id, turn);
  return turn.finally(() => {
    state.saving--;
    if (queues.get(id) === turn) queues.delete(id);
    work.end();
    emit("status");
  });
}

/** Whether actions are under way. @param {number} id */
export const busy = (id) => queues.has(id);

/** @param {number} id */
export const headOf = (id) => heads.get(id) ?? 0;

/** @param {Work} work @param {number} seconds @param {number | undefined} at */
async function send(work, seconds, at) {
  const id = work.image;
  const key = newId();
  for (;;) {
    const trace = at === undefined ? null : began(at);
    try {
      if (!heads.has(id)) heads.set(id, (await get(`images/${id}`)).head);
      work.redirect();
      if (work.stroke && !work.action.pixels) work.action = { ...work.action, pixels: await work.stroke.runs() };
      const body = { key, seen: heads.get(id), seconds, frame: work.frame, action: work.action };
      const outcome = await postAction(`images/${id}/actions`, body, (answer) => work.prompts.length && work.show(answer, trace));
      heads.set(id, outcome.head);
      state.problem = "";
      if (trace) saved(trace, outcome.took);
      if (state.image?.id === id) await apply(outcome, work);
      return true;
    } catch (error) {
      if (!(error instanceof Problem) || error.status) {
        await refused(work, /** @type {Error} */ (error));
        return false;
      }
      state.problem = "Not saved: the server does not answer. Trying again";
      emit("status", "lost");
      await new Promise((done) => setTimeout(done, 700));
    }
  }
}

/** Nothing of it was saved: show what is there, and say so. @param {Work} work @param {Error} error */
async function refused(work, error) {
  notify(error.message, { bad: true });
  state.problem = "Not saved";
  if (state.image?.id !== work.image) return;
  rest();
  work.end();
  if (!objectOf(state.active)) state.active = null;
  emit("active", "status");
  if (work.shape || (error instanceof Problem && error.status === 409)) await reloadImage();
}

/** @param {Outcome} outcome @param {Work} work */
async function apply(outcome, work) {
  if (outcome.frame !== null && outcome.frame !== state.image?.frame) return elsewhere(outcome, work);
  const shown = work.shape ? await work.shape.catch(() => null) : null;
  if (work.shape && !shown) return reloadImage();
  for (const { id, mask, mask_id } of outcome.changed) {
    if (shown && !mask && mask_id && id === work.action.object) void keep(mask_id, shown);
  }
  const changed = await withShapes(outcome.changed);
  const image = state.image;
  if (!image) return;
  for (const id of outcome.removed) {
    removed.add(id);
    state.picked.delete(id);
  }
  const byId = new Map(state.objects.map((object) => [object.id, object]));
  for (const object of changed) {
    removed.delete(object.id);
    byId.set(object.id, object);
  }
  state.objects = outcome.order.flatMap((id) => byId.get(id) ?? []);
  const { head, can_undo, can_redo, findings } = outcome;
  Object.assign(image, { head, state: outcome.state, can_undo, can_redo, review: outcome.review, comments: outcome.comments ?? image.comments, tags: outcome.tags });
  if (work.prompts.length) state.lastClick = outcome.took.model;
  if (findings) {
    await drawFindings(findings);
    image.findings = findings;
  }
  if ((findings || state.reviewing) && ["reviewing", "idle"].includes(state.hand.doing)) rest();
  work.end();
  if (work.action.kind === "redo") state.active = changed.at(-1)?.id ?? state.active;
  const expected = state.pending.some((other) => other.action.object === state.active) || state.hand.doing === "painting";
  if (!objectOf(state.active) && !expected) state.active = null;
  emit("objects", "active", "pending", "status");
}

/** What was changed is seen in another frame: undo and redo go there, the rest was asked for before the page went on. @param {Outcome} outcome @param {Work} work */
async function elsewhere(outcome, work) {
  const back = work.action.kind === "undo" || work.action.kind === "redo";
  await (back ? openImage(work.image, { frame: outcome.frame ?? 0 }) : reloadImage());
  emit("objects");
}

/** Proposals ready to draw. @param {import("./types").Finding[]} findings */
async function drawFindings(findings) {
  for (const finding of findings) if (finding.mask) finding.shape = await shapeOf(finding.mask);
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

/** The object that a prompt or stroke goes to: the active one, or a new one. @param {boolean} [begins] */
export function target(begins = false) {
  if (!begins && active()?.locked) {
    notify("This object is locked. Unlock it to change it.", {});
    return null;
  }
  if (begins || !state.active) {
    state.active = upcoming;
    upcoming = newId();
    emit("active");
  }
  return state.active;
}

/** @param {"guesses" | "preview"} what @param {import("./types").Prompt[]} prompts @param {boolean} begins @returns {Promise<any>} */
async function askAhead(what, prompts, begins) {
  const id = state.image?.id;
  if (!id || !heads.has(id) || busy(id) || (!begins && active()?.locked)) return null;
  const action = { kind: "prompt", object: begins ? upcoming : state.active, prompts, label: state.label };
  return post(`images/${id}/${what}`, { seen: heads.get(id), frame: state.image?.frame, action }).catch(() => null);
}

/** Let the model begin: these prompts will probably follow. @param {import("./types").Prompt[]} prompts @param {boolean} begins */
export const guess = (prompts, begins) => void askAhead("guesses", prompts, begins);

/** The mask that these prompts would give; null where it is not known at once. @param {import("./types").Prompt[]} prompts @param {boolean} begins @returns {Promise<Omit<import("./types").MaskMessage, "id"> | null>} */
export const askPreview = (prompts, begins) => askAhead("preview", prompts, begins);

/** Ask the model. @param {import("./types").Prompt[]} prompts @param {{at?: number, begins?: boolean}} [options] */
export function prompt(prompts, { at, begins = false } = {}) {
  const object = target(begins);
  if (!object) return Promise.resolve(false);
  return act({ kind: "prompt", object, prompts, label: state.label }, { at });
}

/** The next click begins another. */
export function finishObject() {
  if (state.hand.doing === "crosshair") become({ doing: "idle" });
  state.active = null;
  emit("active", "objects");
}

/** @param {string | null} id */
export function select(id) {
  state.active = id;
  state.picked = new Set();
  state.polygon = null;
  emit("active", "objects", "polygon");
}
