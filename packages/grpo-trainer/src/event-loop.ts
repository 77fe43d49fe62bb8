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

/** Work in parts, which gives the thread back after each. It frees what it has made when it is ended in between. */
export type InParts<R> = Generator<void, R, void>;

/** Does all parts of a work at once. */
export function atOnce<R>(work: InParts<R>): R {
  for (;;) {
    const part = work.next();
    if (part.done) return part.value;
  }
}

/** Does a work part by part, with a pause after each; one that throws ends the work. */
export async function withPauses<R>(work: InParts<R>, pause: () => Promise<void>): Promise<R> {
  for (;;) {
    const part = work.next();
    if (part.done) return part.value;
    try {
      await pause();
    } catch (error) {
      work.throw(error);
      throw error;
    }
  }
}
