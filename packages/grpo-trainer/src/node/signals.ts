/** SIGINT and SIGTERM as an abort signal, so that a run saves before it ends. */

/**
 * The first signal aborts; a second one ends the process at once, as it would have without this.
 *
 * @returns the abort signal, and `release`, which gives the signals back.
 */
export function abortOnSignals(onSignal?: (name: string) => void): {
  signal: AbortSignal;
  release: () => void;
} {
  const controller = new AbortController();
  const handle = (name: NodeJS.Signals) => {
    release();
    onSignal?.(name);
    controller.abort(new Error(`Interrupted by ${name}`));
  };
  const release = () => {
    process.off('SIGINT', handle);
    process.off('SIGTERM', handle);
  };
  process.on('SIGINT', handle);
  process.on('SIGTERM', handle);
  return { signal: controller.signal, release };
}
