/**
 * `load`, one call at a time: calls that come while one is under way become one more after it, so that what was asked for last
 * is what stays. The promise settles when nothing is left to load, and rejects with what a load throws.
 */
export function latest(load: () => Promise<void>): () => Promise<void> {
  let asked = false;
  let running: Promise<void> | undefined;
  const run = async () => {
    try {
      while (asked) {
        asked = false;
        await load();
      }
    } finally {
      running = undefined;
    }
  };
  return () => {
    asked = true;
    running ??= run();
    return running;
  };
}
