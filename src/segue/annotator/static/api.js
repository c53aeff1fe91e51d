// Requests to the server, whose errors carry its own words, and how long a person waits for them.
// @ts-check

const LINES = "application/x-ndjson";

/** An answer that is not 2xx, or none at all (status 0). */
export class Problem extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** A random id that is safe in addresses. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const stored = sessionStorage.getItem("segue.window");
/** This tab; a duplicated tab gets its own id because it reloads with a navigation type of its own. */
export const WINDOW = stored && performance.getEntriesByType("navigation").some((n) => /** @type {any} */ (n).type === "reload") ? stored : newId();
sessionStorage.setItem("segue.window", WINDOW);

/** @returns {never} */
function unreachable() {
  throw new Problem(0, "The server does not answer. Is it still running?");
}

/** @param {string} method @param {string} path @param {unknown} [body] @param {string} [accept] */
async function ask(method, path, body, accept) {
  /** @type {Record<string, string>} */
  const headers = { "segue-window": WINDOW, "segue-name": encodeURIComponent(localStorage.getItem("segue.name") ?? "").slice(0, 60) };
  if (accept) headers.accept = accept;
  /** @type {RequestInit} */
  const options = { method, headers };
  if (body instanceof FormData) {
    options.body = body;
  } else if (body !== undefined) {
    headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(`api/${path}`, options).catch(unreachable);
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, problem.message ?? `The server answered ${answer.status}.`);
}

/** @param {string} method @param {string} path @param {unknown} [body] @returns {Promise<any>} */
export async function request(method, path, body) {
  const answer = await ask(method, path, body);
  return answer.status === 204 ? null : answer.json();
}

/** A file of the server. @param {string} path @returns {Promise<Response>} */
export const download = (path) => ask("GET", path);

/** @param {string} path */
export const get = (path) => request("GET", path);
/** @param {string} path @param {unknown} [body] */
export const post = (path, body = {}) => request("POST", path, body);

/**
 * Post an action. The model's mask is handed to `early` while the server still saves it; resolves once it is saved.
 * @param {string} path @param {unknown} body @param {(early: import("./types").Early) => void} early
 * @returns {Promise<import("./types").Outcome>}
 */
export async function postAction(path, body, early) {
  const answer = await ask("POST", path, body, `${LINES}, application/json`);
  if (!answer.headers.get("content-type")?.startsWith(LINES) || !answer.body) return answer.json();
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read().catch(unreachable);
    if (done) unreachable();
    text += decoder.decode(value, { stream: true });
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      const line = JSON.parse(text.slice(0, end));
      text = text.slice(end + 1);
      if (line.outcome) return line.outcome;
      if (line.problem) throw new Problem(line.status, line.problem.message);
      early(line.early);
    }
  }
}

/** A click's trace; marks end up in performance.getEntriesByType("measure"). @param {number} at */
export function began(at) {
  const sent = performance.now();
  /** @type {Record<string, number>} */
  const marks = { sent };
  return { at, marks, mark: (/** @type {string} */ name) => void (marks[name] = performance.now()) };
}

/** The state is up to date; the next frame shows it. @param {ReturnType<typeof began>} trace */
export function painted(trace) {
  requestAnimationFrame(() => {
    const drawn = performance.now();
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      // The first task after the frame's callbacks and its paint.
      const end = performance.now();
      performance.measure("segue:click-to-painted", { start: trace.at, end, detail: { ...trace.marks, drawn, end } });
    };
    channel.port2.postMessage(0);
  });
}

/** The server has answered that it is saved. @param {ReturnType<typeof began>} trace @param {object} took */
export function saved(trace, took) {
  performance.measure("segue:click-to-saved", { start: trace.at, detail: took });
}
