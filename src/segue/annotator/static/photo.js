// The photo, drawn from a copy of about the size that is seen.
// @ts-check
import { byId } from "./dom.js";
import { addPainter, clear, contextOf, redraw, redrawAll, view } from "./stage.js";
import { emit, state, subscribe } from "./state.js";

const photo = contextOf("photo");
/** The photo and smaller copies of it. @type {ImageBitmap[]} */
let levels = [];
let shown = 0;

function draw() {
  clear(photo);
  if (!levels.length || shown !== state.image?.id) return;
  const { width, height } = view.image;
  const wanted = view.scale * view.ratio;
  const level = levels.findLast((bitmap) => bitmap.width >= width * wanted) ?? levels[0];
  view.apply(photo);
  photo.imageSmoothingEnabled = wanted < 3;
  photo.imageSmoothingQuality = "high";
  photo.drawImage(level, 0, 0, width, height);
}

async function load() {
  const image = state.image;
  if (!image || shown === image.id) return;
  view.image = { width: image.width, height: image.height };
  view.fit();
  for (const bitmap of levels) bitmap.close();
  levels = [];
  shown = image.id;
  redrawAll();
  const answer = await fetch(`api/images/${image.id}/photo`);
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({ message: "The photo cannot be shown." }));
    state.problem = said.message;
    emit("status");
    return;
  }
  const whole = await createImageBitmap(await answer.blob(), { imageOrientation: "from-image" });
  const made = [whole];
  while (made[made.length - 1].width * made[made.length - 1].height > 1_500_000) {
    const last = made[made.length - 1];
    const resizeWidth = Math.ceil(last.width / 2);
    made.push(await createImageBitmap(last, { resizeWidth, resizeHeight: Math.ceil(last.height / 2), resizeQuality: "high" }));
  }
  if (state.image?.id !== image.id) return made.forEach((bitmap) => bitmap.close());
  levels = made;
  byId("stage").dataset.photo = String(image.id);
  redraw("photo");
}

export function startPhoto() {
  addPainter("photo", draw);
  subscribe(["image"], () => void load());
}
