/** Turns for the event loop in long work: on backends that compute at once nothing else would give it any. */

/** Longest work without one. */
const LONGEST_MS = 100;

/** A turn of the event loop: signals, timers and requests that came meanwhile are handled. */
export const nextTask = () => new Promise<void>((resolve) => setTimeout(resolve));

/** A function to be called between pieces of work: it gives the event loop a turn where the last one was long ago. */
export function createPauses(): () => Promise<void> {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < LONGEST_MS) return;
    await nextTask();
    last = performance.now();
  };
}
