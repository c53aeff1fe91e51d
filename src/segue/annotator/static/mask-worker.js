// Decodes masks off the page's own thread.
// @ts-check
import { fromBase64, inflate, toFramedPixels } from "./runs.js";
import { toPath } from "./contour.js";

/** @param {import("./types").MaskMessage} mask */
async function decode(mask) {
  const [x0, y0, x1, y1] = mask.box;
  if (!mask.data) return "";
  const bytes = await inflate(fromBase64(mask.data));
  return toPath(toFramedPixels(bytes, x1 - x0, y1 - y0), x1 - x0, y1 - y0, x0, y0);
}

self.addEventListener("message", async (event) => {
  const { id, mask } = event.data;
  try {
    self.postMessage({ id, path: await decode(mask) });
  } catch (error) {
    self.postMessage({ id, error: String(error) });
  }
});
