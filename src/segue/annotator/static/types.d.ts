/** Shapes of the server's messages, as in /api/openapi.json; read by `tsc --checkJs`, never by a browser. */
export type Box = [number, number, number, number];
export interface MaskMessage { id: number; box: Box; area: number; data: string }
export interface ClickPrompt { type: "click"; x: number; y: number; positive: boolean }
export interface BoxPrompt { type: "box"; x0: number; y0: number; x1: number; y1: number }
export interface TextPrompt { type: "text"; words: string }
export interface ExamplePrompt { type: "example"; object: string }
export type Prompt = ClickPrompt | BoxPrompt | TextPrompt | ExamplePrompt;
export interface ObjectMessage {
  id: string; label: number | null; locked: boolean; hidden: boolean; mask_id: number | null; mask: MaskMessage | null;
  mark?: "" | "key" | "propagated" | "gone" | "back"; attributes: Record<string, unknown>; prompts: Prompt[][]; origin: string; score: number; clicks: number; strokes: number; seconds: number;
}
export interface Finding { id: number; image: number; path: string; label: number | null; score: number; mask: MaskMessage | null; shape?: Shape }
export type ImageState = "new" | "started" | "accepted" | "skipped";
export interface ImageMessage {
  id: number; path: string; width: number; height: number; shown: string; stamp: string; replaced: boolean; state: ImageState; head: number; can_undo: boolean;
  can_redo: boolean; mine: boolean; holder: string | null; objects: ObjectMessage[]; findings: Finding[];
  review: Verdict; comments: Comment[]; tags: Record<string, unknown>;
  frames: number; frame: number; axis: number; kind: "" | "video" | "frames" | "stack"; rate: number; spacing: [number, number, number] | null;
}
/** One object along a clip. */
export interface Track { id: string; keys: { frame: number; mark: "mask" | "gone" | "back" }[]; frames: number[]; scores: number[]; seen: boolean[] }
export interface Timeline { objects: Track[]; state: "idle" | "running" | "done" | "failed"; progress: number; message: string; broken: number[] }
export interface Attribute { name: string; type: "text" | "number" | "choice" | "flag"; of: "object" | "image"; options: string[] }
export type Verdict = "" | "approved" | "returned";
export interface Comment { id: string; object: string | null; x: number | null; y: number | null; text: string; who: string; at: string; done: boolean }
export interface Outcome {
  head: number; state: ImageState; can_undo: boolean; can_redo: boolean; order: string[]; changed: ObjectMessage[];
  removed: string[]; findings: Finding[] | null; review: Verdict; comments: Comment[] | null; tags: Record<string, unknown>; frame: number | null; took: { wait: number; model: number; save: number };
}
/** The model's mask before it is saved. */
export interface Early { object: string; box: Box; area: number; data: string }
export interface ImageLine { id: number; path: string; state: ImageState; objects: number; head: number; problem: string; review: Verdict; holder: string | null }
export interface ImagePage { total: number; offset: number; images: ImageLine[] }
export interface Label { id: number; name: string; colour: string }
export interface Model { name: string; state: "off" | "loading" | "ready" | "failed"; accepts: string[]; message: string; adapter: string | null }
export interface Encoding { state: "idle" | "queued" | "encoding" | "ready" | "failed"; progress: number; message: string; encode_ms: number | null }
export interface Status { model: Model; image: Encoding | null; head: number | null; stamp: string; holder: string | null; mine: boolean; project_head: number; images: number; background: Background[]; proposals: number }
export interface Background { kind: "adapt" | "find" | "import" | "propagate" | "propose"; state: "idle" | "running" | "done" | "failed"; progress: number; message: string }
export interface Project {
  name: string; version: string; labels: Label[]; overlap: "allow" | "new" | "old"; counts: Record<ImageState, number>;
  effort: { objects: number; clicks: number; strokes: number; seconds: number }; model: Model; last: number | null;
  head: number; images: number; attributes: Attribute[];
}
export interface Proposals { state: "idle" | "running" | "done" | "failed"; progress: number; message: string; proposals: { box: Box; area: number; data: string; score: number }[] }
export interface Polygon { rings: number[][]; points: number; iou: number; tolerance: number }
export interface Runs { box: Box; data: string }
/** A mask ready to draw: `path` in image pixels along pixel edges. */
export interface Shape { box: Box; area: number; path: Path2D }
export type Action = { kind: string; [field: string]: unknown };
export interface Point { x: number; y: number }
