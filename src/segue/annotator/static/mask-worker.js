// Decodes masks off the page's own thread.
// @ts-check
import { outlineOf } from "./masks.js";

self.addEventListener("message", async (event) => {
  const { id, mask } = event.data;
  try {
    self.postMessage({ id, path: await outlineOf(mask) });
  } catch (error) {
    self.postMessage({ id, error: String(error) });
  }
});
