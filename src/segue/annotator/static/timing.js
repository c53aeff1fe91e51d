// How long a person waits from a click to the painted mask, by the browser's own clock.
// @ts-check

/** A click's trace; marks end up in performance.getEntriesByType("measure"). @param {number} at */
export function began(at) {
  const sent = performance.now();
  /** @type {Record<string, number>} */
  const marks = { sent };
  return { at, marks, mark: (/** @type {string} */ name) => void (marks[name] = performance.now()) };
}

/** The state is up to date; the next frame shows it. @param {ReturnType<typeof began>} trace */
export function painted(trace) {
  requestAnimationFrame(() => {
    const drawn = performance.now();
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      // The first task after the frame's callbacks and its paint.
      const end = performance.now();
      performance.measure("segue:click-to-painted", { start: trace.at, end, detail: { ...trace.marks, drawn, end } });
    };
    channel.port2.postMessage(0);
  });
}

/** The server has answered that it is saved. @param {ReturnType<typeof began>} trace @param {object} took */
export function saved(trace, took) {
  performance.measure("segue:click-to-saved", { start: trace.at, detail: took });
}
