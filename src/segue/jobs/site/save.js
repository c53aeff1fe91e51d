// Masks as files: a grey PNG, a cut-out, COCO.
// @ts-check

/** @param {Blob} blob @param {string} name */
export function download(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A mask, a byte a pixel, as an 8-bit grey PNG of 0 and 255. @param {Uint8Array} mask @param {number} w @param {number} h */
export async function maskPng(mask, w, h) {
  const rows = new Uint8Array((w + 1) * h);
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) rows[y * (w + 1) + 1 + x] = mask[y * w + x] ? 255 : 0;
  const stream = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const packed = new Uint8Array(await new Response(stream).arrayBuffer()), head = new Uint8Array(13), numbers = new DataView(head.buffer);
  numbers.setUint32(0, w);
  numbers.setUint32(4, h);
  head[8] = 8; // bits a grey pixel
  return new Blob([new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]), chunk("IHDR", head), chunk("IDAT", packed), chunk("IEND", new Uint8Array())], { type: "image/png" });
}

/** @param {string} name @param {Uint8Array} content */
function chunk(name, content) {
  const made = new Uint8Array(content.length + 12), numbers = new DataView(made.buffer);
  numbers.setUint32(0, content.length);
  made.set(new TextEncoder().encode(name), 4);
  made.set(content, 8);
  numbers.setUint32(content.length + 8, checksum(made.subarray(4, content.length + 8)));
  return made;
}

/** CRC-32 as PNG wants it. @param {Uint8Array} bytes */
function checksum(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** The object without its background, cropped to it. @param {ImageBitmap} photo @param {Uint8Array} mask @returns {Promise<Blob | null>} */
export function cutout(photo, mask) {
  const [x0, y0, w, h] = boxOf(mask, photo.width), canvas = Object.assign(document.createElement("canvas"), { width: w, height: h });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.drawImage(photo, -x0, -y0);
  const image = context.getImageData(0, 0, w, h);
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) if (!mask[(y + y0) * photo.width + x + x0]) image.data[4 * (y * w + x) + 3] = 0;
  context.putImageData(image, 0, 0);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** COCO's document of one photo: run lengths down the columns, as pycocotools reads them. @param {string} name @param {number} w @param {number} h @param {Uint8Array[]} masks */
export function coco(name, w, h, masks) {
  const annotations = masks.map((mask, i) => ({
    id: i + 1, image_id: 1, category_id: 1, iscrowd: 0, bbox: boxOf(mask, w), area: mask.reduce((sum, v) => sum + v, 0),
    segmentation: { size: [h, w], counts: runs(mask, w, h) },
  }));
  const document = { images: [{ id: 1, file_name: name, width: w, height: h }], categories: [{ id: 1, name: "object" }], annotations };
  return new Blob([JSON.stringify(document)], { type: "application/json" });
}

/** @param {Uint8Array} mask @param {number} w @param {number} h */
function runs(mask, w, h) {
  const counts = [];
  let now = 0, length = 0;
  for (let x = 0; x < w; x++) {
    for (let y = 0; y < h; y++) {
      if (mask[y * w + x] !== now) {
        counts.push(length);
        now = 1 - now;
        length = 0;
      }
      length++;
    }
  }
  counts.push(length);
  return counts;
}

/** x, y, width, height of a mask that is not empty. @param {Uint8Array} mask @param {number} w @returns {[number, number, number, number]} */
function boxOf(mask, w) {
  let x0 = Infinity, y0 = Infinity, x1 = -1, y1 = -1;
  mask.forEach((v, i) => {
    if (!v) return;
    const x = i % w, y = (i - x) / w;
    x0 = Math.min(x0, x);
    x1 = Math.max(x1, x);
    y0 = Math.min(y0, y);
    y1 = y;
  });
  return [x0, y0, x1 - x0 + 1, y1 - y0 + 1];
}
