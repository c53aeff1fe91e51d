// Learning from the accepted masks, and finding one object in all images.
// @ts-check
import { byId, h, openDialog } from "./dom.js";
import { get, newId, post } from "./api.js";
import { active, follow, state } from "./state.js";
import { notify } from "./actions.js";
import { showImport } from "./exchange.js";
import { reviewNext } from "./review.js";

export async function showAdapt() {
  const { dialog, body } = openDialog("Adapt to my images");
  for (;;) {
    const job = await get("adapt");
    if (!dialog.open) return;
    body.replaceChildren(...adaptView(job, dialog));
    if (job.state !== "running") return;
    await new Promise((done) => setTimeout(done, 1000));
  }
}

/** @param {any} job @param {HTMLDialogElement} dialog @returns {Node[]} */
function adaptView(job, dialog) {
  const again = () => (dialog.close(), showAdapt());
  const send = async (/** @type {string} */ path, /** @type {object} */ body = {}) => {
    await post(path, body).catch((error) => notify(error.message, { bad: true }));
    again();
  };
  if (job.state === "running") {
    return [
      h("p", {}, job.message || "Training an adapter from your accepted masks."),
      h("span", { class: "track", style: { margin: "14px 0" } }, h("i", { style: { width: `${100 * job.progress}%` } })),
      h("p", { class: "muted small" }, "You can go on working; the page stays quick."),
      h("div", { class: "actions" }, h("button", { class: "quiet", onclick: () => send("adapt/stop") }, "Stop")),
    ];
  }
  const start = h("button", { class: "primary", disabled: job.images < job.needed, onclick: () => send("adapt", { minutes: 10 }) }, job.report ? "Train again" : "Train for 10 minutes");
  /** @type {Node[]} */
  const parts = [h("p", { class: "muted" }, `${job.accepted} accepted objects in ${job.images} images. At least ${job.needed} images are needed; a fifth of them is held out to measure the gain.`)];
  if (job.state === "failed") parts.push(h("p", {}, `It failed: ${job.message}`));
  if (job.report) {
    const { before, after, low, high, helps } = job.report;
    parts.push(
      h("div", { class: "figures" }, h("div", {}, h("b", {}, before.toFixed(2)), "clicks before"), h("div", {}, h("b", {}, after.toFixed(2)), "clicks after")),
      h("p", {}, helps
        ? `On held-out images it saves ${(before - after).toFixed(2)} clicks an object (95 % between ${low.toFixed(2)} and ${high.toFixed(2)}).`
        : `It does not help on held-out images (difference between ${low.toFixed(2)} and ${high.toFixed(2)} clicks), so it is not recommended.`),
      h("div", { class: "actions" }, h("button", { class: "quiet", onclick: () => send("adapt/use", { key: newId(), on: !job.used }) }, job.used ? "Switch it off" : "Switch it on"), start),
    );
  } else {
    parts.push(h("div", { class: "actions" }, start));
  }
  return parts;
}

export async function showFind() {
  const object = active();
  const { dialog, body } = openDialog("Find this in the other images");
  for (;;) {
    const job = await get("find");
    if (!dialog.open) return;
    body.replaceChildren(...findView(job, object, dialog));
    if (job.state !== "running") return;
    await new Promise((done) => setTimeout(done, 700));
  }
}

/** @param {any} job @param {ReturnType<typeof active>} object @param {HTMLDialogElement} dialog @returns {Node[]} */
function findView(job, object, dialog) {
  if (job.state === "running") {
    return [
      h("p", {}, job.message || "Looking through the images."),
      h("span", { class: "track", style: { margin: "14px 0" } }, h("i", { style: { width: `${100 * job.progress}%` } })),
      h("div", { class: "actions" }, h("button", { class: "quiet", onclick: () => post("find/stop").then(() => (dialog.close(), showFind())) }, "Stop")),
    ];
  }
  const every = /** @type {HTMLInputElement} */ (h("input", { type: "checkbox", id: "find-every" }));
  const begin = async () => {
    await post("find", { image: state.image?.id, object: object?.id, every: every.checked }).catch((error) => notify(error.message, { bad: true }));
    dialog.close();
    await showFind();
  };
  /** @type {Node[]} */
  const parts = [];
  if (job.state === "failed") parts.push(h("p", {}, `It failed: ${job.message}`));
  parts.push(h("p", { class: "muted" }, object ? "The active object is the example. Every image that is not finished is searched; you accept or reject what is found." : "Choose the object first: click its row in the list, then come back."));
  if (object) parts.push(h("label", {}, every, " Every one of its kind, in this image too, not only the likeliest of each image"));
  if (job.open) parts.push(h("p", {}, `${job.open} found masks wait for you.`));
  parts.push(
    h("div", { class: "actions" },
      job.open ? h("button", { class: "quiet", onclick: () => (dialog.close(), reviewNext()) }, "Review them") : null,
      h("button", { class: "primary", disabled: !object, onclick: begin }, "Find it")),
  );
  return parts;
}

const WORK = { adapt: ["Adapting", "Adapter trained"], find: ["Finding", "Search ended"], import: ["Importing", "Import ended"], propagate: ["Propagating", "Propagated"], propose: ["Proposing", "Proposed"] };
/** What ended and was looked at. @type {Set<string>} */
const looked = new Set();

/** The chip of the status line: what is under way, what waits for a decision, what ended. */
function drawChip() {
  const chip = byId("background");
  const work = state.status?.background ?? [];
  const running = work.find((one) => one.state === "running");
  const failed = work.find((one) => one.state === "failed" && !looked.has(one.kind));
  const done = work.find((one) => one.state === "done" && !looked.has(one.kind));
  for (const one of work) if (one.state === "running") looked.delete(one.kind);
  const waiting = state.status?.proposals ?? 0;
  const text = running
    ? `${WORK[running.kind][0]} ${Math.round(100 * running.progress)} %`
    : failed ? `${WORK[failed.kind][0]} failed` : waiting ? `${waiting} found · review` : done ? WORK[done.kind][1] : "";
  chip.hidden = !text;
  chip.textContent = text;
  chip.title = running?.message ?? failed?.message ?? "";
  chip.classList.toggle("bad", Boolean(failed && !running));
  chip.onclick = () => {
    const shown = running ?? failed ?? (waiting ? null : done);
    if (!shown) return void reviewNext();
    if (!running) looked.add(shown.kind);
    drawChip();
    void { adapt: showAdapt, find: showFind, import: showImport, propagate: () => {}, propose: () => {} }[shown.kind]();
  };
}

export function startLoop() {
  follow(["status"], drawChip);
}
