// What is drawn over the masks: prompts, the polygon view, a proposal, the crosshair and the brush's cursor.
// @ts-check
import { footprint } from "./brush.js";
import { boxOf } from "./hand.js";
import { drawPreview } from "./preview.js";
import { drawProposals } from "./proposals.js";
import { drawPins } from "./review.js";
import { drawMagnifier, drawNames } from "./seeing.js";
import { addPainter, clear, contextOf, outline, redraw, view } from "./stage.js";
import { active, colourOf, follow, state } from "./state.js";

const marks = contextOf("marks");

function draw() {
  clear(marks);
  marks.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
  drawNames(marks);
  drawPreview(marks);
  drawProposals(marks);
  drawPins(marks);
  const object = active();
  if (state.overlays && !state.polygonOn) for (const p of object && !object.hidden ? object.prompts.flat() : []) drawPrompt(p, false);
  if (object && state.polygonOn && state.polygon) drawPolygon(object, state.polygon);
  for (const p of state.pending.flatMap((work) => work.prompts)) drawPrompt(p, true);
  const { hand } = state;
  const proposal = state.image?.findings[0]?.shape;
  if (proposal && !state.reviewLater) drawProposal(proposal);
  if (hand.doing === "lassoing") drawLine(hand.points, hand.erase ? "#ff8d8d" : "#fff");
  if (hand.doing === "shaping" && hand.shape && object?.shape) drawChange(object.shape, hand.shape, hand.how);
  if (hand.doing === "boxing") drawBox(boxOf(hand.from, hand.to), true);
  if (hand.doing === "crosshair") drawCrosshair(hand.at);
  const brush = state.tool === "brush" || state.tool === "eraser";
  if (state.pointer && brush) drawCursor(state.pointer);
  if (state.pointer && ["painting", "lassoing", "reshaping"].includes(hand.doing)) {
    drawMagnifier(marks, state.pointer, brush ? footprint(state.pointer, state.brush) : undefined);
  }
}

/** @param {import("./types").Shape} shape */
function drawProposal(shape) {
  view.apply(marks);
  marks.globalAlpha = 0.3;
  marks.fillStyle = "#fff";
  marks.fill(shape.path, "evenodd");
  marks.globalAlpha = 1;
  outline(marks, shape.path, "#fff", 2);
  marks.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
}

/** What a rule would add (green) and take (red). @param {import("./types").Shape} before @param {import("./types").Shape} after @param {string} how */
function drawChange(before, after, how) {
  const both = new Path2D(before.path);
  both.addPath(after.path);
  view.apply(marks);
  marks.fillStyle = { "fill-holes": "#3ecf8e", grow: "#3ecf8e", smooth: "#fff" }[how] ?? "#ff5b5b";
  marks.globalAlpha = 0.75;
  marks.fill(both, "evenodd");
  marks.globalAlpha = 1;
  outline(marks, after.path, "#fff", 1.5);
  marks.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
}

/** @param {import("./types").Point[]} points @param {string} colour */
function drawLine(points, colour) {
  for (const [style, width] of /** @type {[string, number][]} */ ([["#000a", 3.5], [colour, 1.5]])) {
    marks.beginPath();
    for (const point of points) {
      const { x, y } = view.toScreen(point);
      marks.lineTo(x, y);
    }
    marks.strokeStyle = style;
    marks.lineWidth = width;
    marks.stroke();
  }
  const [first, last] = [view.toScreen(points[0]), view.toScreen(points[points.length - 1])];
  marks.setLineDash([4, 4]);
  marks.beginPath();
  marks.moveTo(first.x, first.y);
  marks.lineTo(last.x, last.y);
  marks.stroke();
  marks.setLineDash([]);
}

/** @param {import("./types").Prompt} p @param {boolean} waiting */
function drawPrompt(p, waiting) {
  if (p.type === "box") return drawBox(p, waiting);
  if (p.type !== "click") return;
  const { x, y } = view.toScreen(p);
  marks.beginPath();
  marks.arc(x, y, 5.5, 0, 7);
  marks.fillStyle = p.positive ? "#18a866" : "#e5484d";
  marks.globalAlpha = waiting ? 0.6 : 1;
  marks.fill();
  marks.lineWidth = 4.5;
  marks.strokeStyle = "#0005";
  marks.stroke();
  marks.lineWidth = 2;
  marks.strokeStyle = "#fff";
  marks.stroke();
  marks.lineWidth = 1.5;
  marks.beginPath();
  marks.moveTo(x - 2.5, y);
  marks.lineTo(x + 2.5, y);
  if (p.positive) {
    marks.moveTo(x, y - 2.5);
    marks.lineTo(x, y + 2.5);
  }
  marks.stroke();
  if (waiting) {
    marks.beginPath();
    marks.arc(x, y, 10, 0, 7);
    marks.lineWidth = 1.5;
    marks.stroke();
  }
  marks.globalAlpha = 1;
}

/** @param {import("./types").BoxPrompt | null} box @param {boolean} waiting */
function drawBox(box, waiting) {
  if (!box) return;
  const a = view.toScreen({ x: box.x0, y: box.y0 });
  const b = view.toScreen({ x: box.x1, y: box.y1 });
  for (const [colour, width] of /** @type {[string, number][]} */ ([["#000a", 3], ["#fff", 1.5]])) {
    marks.strokeStyle = colour;
    marks.lineWidth = width;
    marks.setLineDash(waiting ? [] : [5, 4]);
    marks.strokeRect(a.x, a.y, b.x - a.x, b.y - a.y);
  }
  marks.setLineDash([]);
}

/** @param {import("./types").Point} at */
function drawCrosshair(at) {
  const { x, y } = view.toScreen(at);
  for (const [colour, width] of /** @type {[string, number][]} */ ([["#000a", 3.5], ["#fff", 1.5]])) {
    marks.strokeStyle = colour;
    marks.lineWidth = width;
    marks.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      marks.moveTo(x + 5 * dx, y + 5 * dy);
      marks.lineTo(x + 18 * dx, y + 18 * dy);
    }
    marks.stroke();
  }
}

/** Exactly the pixels that a press here would paint. @param {import("./types").Point} at */
function drawCursor(at) {
  const path = footprint(at, state.brush);
  view.apply(marks);
  marks.strokeStyle = "#000c";
  marks.lineWidth = 3 / view.scale;
  marks.stroke(path);
  marks.strokeStyle = state.tool === "eraser" || (state.hand.doing === "painting" && state.hand.erase) ? "#ff8d8d" : "#fff";
  marks.lineWidth = 1.4 / view.scale;
  marks.stroke(path);
}

/** @param {import("./state.js").Drawn} object @param {import("./types").Polygon} polygon */
function drawPolygon(object, polygon) {
  const traced = new Path2D();
  for (const ring of polygon.rings) {
    traced.moveTo(ring[0], ring[1]);
    for (let i = 2; i < ring.length; i += 2) traced.lineTo(ring[i], ring[i + 1]);
    traced.closePath();
  }
  view.apply(marks);
  marks.globalAlpha = 0.3;
  marks.fillStyle = colourOf(object);
  marks.fill(traced, "evenodd");
  marks.globalAlpha = 1;
  outline(marks, traced, "#fff", 1.5, "round");
  marks.setTransform(view.ratio, 0, 0, view.ratio, 0, 0);
  marks.fillStyle = "#fff";
  marks.strokeStyle = colourOf(object);
  marks.lineWidth = 1.5;
  const box = object.shape?.box ?? [0, 0, 0, 0];
  const spacing = (2 * view.scale * (box[2] - box[0] + box[3] - box[1])) / polygon.points;
  const radius = Math.max(1, Math.min(3.6, spacing / 4));
  marks.lineWidth = Math.min(1.5, radius * 0.6);
  for (const ring of polygon.rings) {
    for (let i = 0; i < ring.length; i += 2) {
      const p = view.toScreen({ x: ring[i], y: ring[i + 1] });
      marks.beginPath();
      marks.arc(p.x, p.y, radius, 0, 7);
      marks.fill();
      marks.stroke();
    }
  }
}

export function startMarks() {
  addPainter("marks", draw);
  follow(["objects", "active", "polygon", "hand", "mask", "pending", "image", "project", "tool"], () => redraw("marks"));
}
