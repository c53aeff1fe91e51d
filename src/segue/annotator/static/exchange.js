// The menu: import, export, the model's switch, theme, journal.
// @ts-check
import { byId, h, openDialog, openMenu } from "./dom.js";
import { download, get, post, request } from "./api.js";
import { keysOf, showKeys } from "./keys.js";
import { emit, state } from "./state.js";
import { notify, reloadImage } from "./actions.js";
import { refreshImages, refreshProject } from "./images.js";
import { editAttributes } from "./attributes.js";
import { showStatistics } from "./statistics.js";
import { showAdapt, showFind } from "./loop.js";
import { startReview } from "./review.js";

export function showMenu() {
  const off = state.project?.model.state === "off";
  openMenu(byId("menu-button"), [
    { label: "Find this in the other images", icon: "find", act: showFind },
    { label: "Adapt to my images", icon: "learn", act: showAdapt },
    null,
    { label: "Review accepted images", icon: "check", keys: keysOf("review"), act: startReview },
    { label: "Import masks", icon: "upload", act: showImport },
    { label: "Export", icon: "download", keys: keysOf("export"), act: showExport },
    { label: "Attributes and tags", icon: "sliders", act: editAttributes },
    { label: "Statistics", icon: "chart", act: showStatistics },
    { label: "Journal of this image", icon: "journal", disabled: !state.image, act: showJournal },
    null,
    { label: off ? "Switch the model on" : "Switch the model off", icon: "power", act: () => switchModel(off) },
    { label: "Light or dark", icon: "theme", act: turnTheme },
    { label: "Your name", icon: "star", act: showName },
    { label: "Keys and mouse", icon: "help", keys: keysOf("help"), act: showKeys },
  ]);
}

/** @param {boolean} on */
async function switchModel(on) {
  const model = await post("model", { on });
  if (state.project) state.project.model = model;
  emit("project", "image");
}

export function turnTheme() {
  const root = document.documentElement;
  const now = root.dataset.theme ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");
  root.dataset.theme = now === "light" ? "dark" : "light";
  localStorage.setItem("segue.theme", root.dataset.theme);
}

export async function showExport() {
  const { dialog, body } = openDialog("Export");
  /** @type {{name: string, title: string, about: string}[]} */
  const formats = await get("formats");
  const only = h("input", { type: "checkbox", id: "only-accepted", checked: true });
  const choices = h("div", { class: "choices" });
  for (const { name, title, about } of formats) {
    choices.append(
      h("button", { "data-format": name, onclick: () => void save(name, only.checked, dialog) }, h("b", {}, title), h("span", { class: "muted small" }, about)),
    );
  }
  body.append(
    h("p", {}, h("label", { class: "row" }, only, "Accepted images only")), choices,
    h("p", { class: "muted small" }, "The overlap policy is applied, hidden objects leave too; every mask leaves exactly as it is drawn."),
  );
}

/** Fetch the masks and hand them to the browser, or say why there are none. @param {string} format @param {boolean} accepted @param {HTMLDialogElement} dialog */
async function save(format, accepted, dialog) {
  notify("Exporting …");
  try {
    const answer = await download(`export?format=${format}&accepted=${accepted}`);
    const name = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? `masks-${format}`;
    const link = h("a", { href: URL.createObjectURL(await answer.blob()), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    dialog.close();
    notify(decodeURIComponent(answer.headers.get("segue-notice") ?? ""));
  } catch (error) {
    notify(/** @type {Error} */ (error).message, { bad: true });
  }
}

export async function showImport() {
  const { dialog, body } = openDialog("Import masks");
  const input = h("input", { type: "file", multiple: true, accept: ".json,.xml,.png,.zip", "aria-label": "Files" });
  const result = h("p", { class: "muted" });
  const form = h("form", {}, input, h("div", { class: "actions" }, h("button", { class: "primary", type: "submit" }, "Import")));
  form.addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!input.files.length) return void (result.textContent = "Choose at least one file.");
    const data = new FormData();
    for (const file of input.files) data.append("files", file);
    try {
      await request("POST", "import", data);
      await followImport(dialog, body);
    } catch (error) {
      result.textContent = /** @type {Error} */ (error).message;
    }
  });
  body.append(
    h("p", { class: "muted" }, "Annotations (.json, .xml), PNG label maps named like the images, or a ZIP of any format that is exported here. What is there already is not added again; everything can be corrected like any object."),
    form, result,
  );
  if ((await get("import")).state === "running") await followImport(dialog, body);
}

/** Show how far the import is, until it ends; the dialog may be closed meanwhile. @param {HTMLDialogElement} dialog @param {HTMLElement} body */
async function followImport(dialog, body) {
  for (;;) {
    const job = await get("import");
    if (job.state !== "running") return importEnded(dialog, job);
    body.replaceChildren(
      h("p", {}, job.message), h("span", { class: "track", style: { margin: "14px 0" } }, h("i", { style: { width: `${100 * job.progress}%` } })),
      h("p", { class: "muted small" }, "You can close this and go on working."),
    );
    await new Promise((done) => setTimeout(done, 250));
  }
}

/** @param {HTMLDialogElement} dialog @param {any} job */
async function importEnded(dialog, job) {
  await Promise.all([refreshImages(), refreshProject(), reloadImage()]);
  if (job.state === "failed") {
    dialog.close();
    return notify(job.message, { bad: true });
  }
  const { objects, images, known, skipped } = job.result;
  notify(`${objects} objects in ${images} images were imported.${known ? ` ${known} were there already.` : ""}${skipped.length ? ` ${skipped.length} were skipped.` : ""}`);
  if (!skipped.length) return dialog.close();
  dialog.querySelector(".body")?.replaceChildren(h("p", {}, "Skipped:"), h("ul", { class: "small" }, .../** @type {string[]} */ (skipped).map((line) => h("li", {}, line))));
}

async function showJournal() {
  const { body } = openDialog("Journal of this image", { wide: true });
  /** @type {{id: number, at: string, kind: string, who: string}[]} */
  const entries = await get(`images/${state.image?.id}/journal?limit=1000`);
  const rows = entries.reverse().map((entry) =>
    h("tr", {}, h("td", { class: "numbers muted" }, String(entry.id)), h("td", {}, entry.kind), h("td", { class: "numbers muted" }, new Date(entry.at).toLocaleString())),
  );
  body.append(rows.length ? h("table", {}, ...rows) : h("p", { class: "muted" }, "Nothing has happened yet."));
}

function showName() {
  const { dialog, body } = openDialog("Your name");
  const input = h("input", { type: "text", class: "grow", maxLength: 30, value: localStorage.getItem("segue.name") ?? "", "aria-label": "Name" });
  const form = h("form", { class: "row" }, input, h("button", { class: "primary", type: "submit" }, "Save"));
  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    localStorage.setItem("segue.name", input.value.trim());
    dialog.close();
  });
  body.append(h("p", { class: "muted" }, "Others who work on this project see it on the image that you have open."), form);
}
