// The photo, drawn from a copy of about the size that is seen.
// @ts-check
import { Problem, download } from "./api.js";
import { byId, h } from "./dom.js";
import { addPainter, clear, contextOf, redraw, redrawAll, view } from "./stage.js";
import { emit, state, subscribe } from "./state.js";

const photo = contextOf("photo");
const stage = byId("stage");
/** The photo and smaller copies of it. @type {ImageBitmap[]} */
let levels = [];
let shown = "";

function draw() {
  clear(photo);
  if (!levels.length) return;
  const { width, height } = view.image;
  const wanted = view.scale * view.ratio;
  const level = levels.findLast((bitmap) => bitmap.width >= width * wanted) ?? levels[0];
  view.apply(photo);
  photo.imageSmoothingEnabled = wanted < 3;
  photo.imageSmoothingQuality = "high";
  photo.drawImage(level, 0, 0, width, height);
}

/** The smallest copy of the photo, which tells as much of its levels. */
export const smallest = () => levels.at(-1);

async function load() {
  const image = state.image;
  const wanted = image ? `${image.id} ${image.stamp} ${image.width} ${image.height} ${image.frame} ${image.axis}` : "";
  if (!image || shown === wanted) return;
  shown = wanted;
  const again = view.image.width === image.width && view.image.height === image.height && stage.dataset.photo === String(image.id);
  view.image = { width: image.width, height: image.height };
  if (!again) view.fit();
  if (!again) drop(); // the next frame of a clip takes the place of the last without a gap
  fail("");
  redrawAll();
  try {
    const answer = await download(`images/${image.id}/photo?stamp=${encodeURIComponent(image.stamp + (image.axis ? ` ${image.axis}` : ""))}${image.frames ? `&frame=${image.frame}` : ""}`);
    const made = await pyramid(await answer.blob());
    if (shown !== wanted) return made.forEach((bitmap) => bitmap.close());
    drop();
    levels = made;
    stage.dataset.photo = String(image.id);
    stage.dataset.frame = String(image.frame);
    redraw("photo");
  } catch (error) {
    if (shown !== wanted) return;
    shown = "";
    drop();
    fail(error instanceof Problem ? error.message : `${image.path} is damaged: the browser cannot show it.`);
  }
}

function drop() {
  for (const bitmap of levels) bitmap.close();
  levels = [];
  redraw("photo");
}

/** The photo and smaller copies of it. @param {Blob} content @returns {Promise<ImageBitmap[]>} */
async function pyramid(content) {
  const made = [await createImageBitmap(content, { imageOrientation: "from-image" })];
  while (made[made.length - 1].width * made[made.length - 1].height > 1_500_000) {
    const last = made[made.length - 1];
    const resizeWidth = Math.ceil(last.width / 2);
    made.push(await createImageBitmap(last, { resizeWidth, resizeHeight: Math.ceil(last.height / 2), resizeQuality: "high" }));
  }
  return made;
}

/** Say on the stage why there is no photo. @param {string} message */
function fail(message) {
  state.photoProblem = message;
  const box = byId("no-photo");
  box.hidden = !message;
  if (message) box.replaceChildren(h("p", {}, message), h("button", { class: "primary", onclick: () => void load() }, "Try again"));
  emit("status");
}

export function startPhoto() {
  addPainter("photo", draw);
  subscribe(["image"], () => void load());
}
