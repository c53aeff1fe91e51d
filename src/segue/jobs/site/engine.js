// nano's two graphs in ONNX Runtime Web: WebAssembly with SIMD, threads where the host isolates the page.
// @ts-check
/** @typedef {import("./turn.js").Engine} Engine */

const MAPS = ["stride16", "stride8", "stride4", "embedding"];

/** @param {(share: number) => void} report @returns {Promise<Engine & {threads: number}>} */
export async function openEngine(report) {
  const ort = await import(/** @type {any} */ ("./runtime/ort.wasm.min.mjs"));
  const threads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = new URL("./runtime/", import.meta.url).href;
  ort.env.logLevel = "error";
  report(0.1);
  const open = async (/** @type {string} */ name) => ort.InferenceSession.create(new Uint8Array(await bytesOf(`./${name}.onnx`)), { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
  const encoder = await open("encoder");
  report(0.8);
  const decoder = await open("decoder");
  report(1);
  return {
    threads,
    async encode(pixels, w, h) {
      return encoder.run({ pixels: new ort.Tensor("float32", pixels, [1, 3, h, w]) }, MAPS);
    },
    async decode(maps, clicks, box, previous) {
      const made = await decoder.run({
        ...maps, clicks: new ort.Tensor("float32", clicks, [1, clicks.length / 3, 3]), box: new ort.Tensor("float32", box, [1, 4]),
        previous: new ort.Tensor("float32", previous.data, [1, 1, previous.h, previous.w]),
      });
      const [, , h, w] = made.logits.dims;
      return { logits: { w, h, data: made.logits.data }, iou: 1 / (1 + Math.exp(-made.score.data[0])) };
    },
  };
}

/** @param {string} path */
async function bytesOf(path) {
  const answer = await fetch(new URL(path, import.meta.url));
  if (!answer.ok) throw new Error(`${path} is missing on the server (${answer.status})`);
  return answer.arrayBuffer();
}
