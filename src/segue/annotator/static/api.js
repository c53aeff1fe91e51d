// Requests to the server; errors carry the server's own words.
// @ts-check

/** An answer that is not 2xx. */
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

/** @param {string} method @param {string} path @param {unknown} [body] @returns {Promise<any>} */
export async function request(method, path, body) {
  /** @type {Record<string, string>} */
  const headers = { "segue-window": WINDOW, "segue-name": encodeURIComponent(localStorage.getItem("segue.name") ?? "").slice(0, 60) };
  /** @type {RequestInit} */
  const options = { method, headers };
  if (body instanceof FormData) {
    options.body = body;
  } else if (body !== undefined) {
    headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(`api/${path}`, options);
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const said = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, said.message ?? `the server answered ${answer.status}`);
}

/** @param {string} path */
export const get = (path) => request("GET", path);
/** @param {string} path @param {unknown} [body] */
export const post = (path, body = {}) => request("POST", path, body);
