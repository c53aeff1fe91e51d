// Reviewing: found masks that wait for a decision, and accepted images that wait for a verdict, with one bar and the same keys.
// @ts-check
import { get, newId } from "./api.js";
import { act, notify } from "./actions.js";
import { byId, h, icon } from "./dom.js";
import { go, refreshImages } from "./images.js";
import { keysOf } from "./keys.js";
import { redraw, view } from "./stage.js";
import { emit, follow, nameOf, objectAt, rest, state } from "./state.js";
/** @typedef {import("./types").Point} Point */

const bar = byId("queue");
/** What is being written: a comment, or why the image is sent back. @type {{back: boolean, at: Point | null, object: string | null} | null} */
let writing = null;
/** How long each queue has been, so that undo goes back in it too. */
const longest = { found: 0, verdict: 0 };
let turn = 0;

/** Give verdicts on accepted images, one after the other. */
export async function startReview() {
  state.reviewing = true;
  longest.verdict = 0;
  await nextVerdict();
}

function stop() {
  state.reviewing = false;
  rest();
}

/** The next accepted image without a verdict. */
async function nextVerdict() {
  const { id } = await get(`images/neighbour?of=${state.image?.id ?? 0}&state=unreviewed`);
  const next = id ?? (await get("images?state=unreviewed&limit=1")).images[0]?.id;
  if (next) {
    if (next === state.image?.id) rest();
    else await go(next);
    return;
  }
  notify(longest.verdict ? `Every accepted image has its verdict, ${longest.verdict} in this review.` : "No accepted image waits for a verdict.");
  stop();
  await refreshImages();
}

/** Go to the next image that has a proposal. */
export async function reviewNext() {
  const found = await get("find/next");
  if (found) return void (await go(found.image));
  longest.found = 0;
  notify("No proposals are left.");
  await refreshImages();
}

/** Yes or no to what waits: a found mask first, else the image. @param {boolean} yes */
export async function decide(yes) {
  const image = state.image;
  if (!image) return;
  state.reviewLater = false;
  const finding = image.findings[0];
  if (finding) {
    if (!(await act({ kind: "decide", finding: finding.id, accept: yes, object: newId() }))) return;
    if (!state.image?.findings.length) await reviewNext();
  } else if (!yes) write(true);
  else if (await act({ kind: "review", verdict: "approved" })) await nextVerdict();
}

/** Write a comment on the place under the pointer. @param {boolean} [back] the image is sent back with it */
export function write(back = false) {
  if (!state.image) return;
  const at = state.pointer && view.holds(state.pointer) ? { x: Math.round(state.pointer.x), y: Math.round(state.pointer.y) } : null;
  writing = { back, at, object: at ? objectAt(at, state.active) : state.active };
  void draw();
}

function close() {
  writing = null;
  bar.replaceChildren();
  byId("stage").focus();
}

/** @param {string} text */
async function send(text) {
  if (!writing) return;
  const { back, at, object } = writing;
  if (!text) return notify("Write what is to be changed.");
  const said = { kind: "comment", comment: newId(), text, name: (localStorage.getItem("segue.name") ?? "").slice(0, 60), ...(at ?? {}), ...(object ? { object } : {}) };
  if (!(await act(said))) return;
  close();
  if (back && (await act({ kind: "review", verdict: "returned" }))) await nextVerdict();
  void draw();
}

function putAway() {
  close();
  void draw();
}

function later() {
  state.reviewLater = true;
  rest();
}

/** @param {string} text @param {boolean} primary @param {string} command @param {() => void} run */
function button(text, primary, command, run) {
  return h("button", { class: primary ? "primary" : "quiet", onclick: run }, text, h("kbd", {}, keysOf(command).replace("Enter", "↵")));
}

function writer() {
  const input = h("input", { type: "text", id: "comment-text", class: "grow", maxLength: 2000, placeholder: writing?.back ? "What is to be changed?" : "Comment", "aria-label": "Comment", autocomplete: "off" });
  input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter") void send(input.value.trim());
    else if (event.key === "Escape") putAway();
    event.stopPropagation();
  });
  const about = writing?.object ? nameOf(writing.object) : writing?.at ? "this place" : "this image";
  return [h("span", { class: "muted" }, `On ${about}`), input, h("button", { class: "primary", onclick: () => void send(input.value.trim()) }, writing?.back ? "Send back" : "Say it"), h("button", { class: "quiet", onclick: putAway }, "Cancel")];
}

async function draw() {
  const mine = ++turn;
  const findings = state.image?.findings ?? [];
  const verdict = state.reviewing && state.image?.state === "accepted" && !state.image.review;
  redraw("marks");
  for (const id of ["accept", "narrow-accept"]) {
    byId(id).classList.toggle("primary", state.hand.doing !== "reviewing"); // one blue button at a time
    byId(id).classList.toggle("quiet", state.hand.doing === "reviewing");
  }
  bar.hidden = !writing && !findings.length && !state.reviewing;
  if (bar.hidden) return;
  if (writing) {
    if (bar.querySelector("#comment-text")) return;
    bar.replaceChildren(...writer());
    return bar.querySelector("input")?.focus();
  }
  const left = findings.length ? (await get("find")).open : (await get("images?state=unreviewed&limit=1")).total;
  if (mine !== turn || writing) return;
  const queue = findings.length ? "found" : "verdict";
  longest[queue] = Math.max(longest[queue], left);
  const place = left ? `${longest[queue] - left + 1} of ${longest[queue]}` : "";
  bar.replaceChildren(
    ...(findings.length
      ? [h("span", {}, `Found here, ${Math.round(100 * findings[0].score)} % sure`), h("span", { class: "muted numbers" }, place),
        button("Accept", true, "accept", () => void decide(true)), button("Reject", false, "reject", () => void decide(false))]
      : [h("span", {}, verdict ? "Review" : "Review: this image has no verdict to give"), h("span", { class: "muted numbers" }, place),
        ...(verdict ? [button("Approve", true, "accept", () => void decide(true)), button("Send back", false, "reject", () => void decide(false))] : [button("Next", true, "unfinished", () => void nextVerdict())])]),
    findings.length ? h("button", { class: "quiet", onclick: later, hidden: state.reviewLater }, "Later", h("kbd", {}, keysOf("leave"))) : h("button", { class: "quiet", onclick: stop }, "Stop"),
  );
}

function drawComments() {
  const list = byId("comments");
  const comments = state.image?.comments ?? [];
  list.hidden = !comments.length;
  list.replaceChildren(...comments.map((comment) => {
    const box = h("input", { type: "checkbox", checked: comment.done, "aria-label": "Settled", title: "Settled", onchange: () => void act({ kind: "comment", comment: comment.id, done: box.checked }) });
    const number = pins().indexOf(comment) + 1;
    return h("li", { class: comment.done ? "done" : "" }, box, h("span", { class: "grow" }, number ? h("b", { class: "pin" }, String(number)) : null, comment.text, comment.who ? h("span", { class: "muted" }, ` · ${comment.who}`) : null));
  }));
}

const pins = () => (state.image?.comments ?? []).filter((comment) => !comment.done && comment.x !== null);

/** @param {CanvasRenderingContext2D} marks */
export function drawPins(marks) {
  const places = pins().map((comment, i) => ({ x: comment.x ?? 0, y: comment.y ?? 0, text: String(i + 1) }));
  if (writing?.at) places.push({ ...writing.at, text: "+" });
  marks.font = "700 12px system-ui, sans-serif";
  marks.textAlign = "center";
  marks.textBaseline = "middle";
  for (const place of places) {
    const { x, y } = view.toScreen(place);
    marks.beginPath();
    marks.moveTo(x, y);
    marks.arc(x, y - 18, 11, 0.75 * Math.PI, 2.25 * Math.PI);
    marks.closePath();
    marks.fillStyle = "#f2b33d";
    marks.fill();
    marks.strokeStyle = "#000b";
    marks.lineWidth = 1.5;
    marks.stroke();
    marks.fillStyle = "#1a1e23";
    marks.fillText(place.text, x, y - 17.500);
  }
  marks.textAlign = "start";
}

export function startReviewing() {
  follow(["image"], () => writing && close());
  follow(["image", "hand"], () => void draw());
  follow(["image", "objects"], drawComments);
  byId("add-comment").append(icon("comment"));
  byId("add-comment").addEventListener("click", () => write());
  emit("hand");
}
