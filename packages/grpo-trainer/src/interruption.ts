/** Tells an interruption from an error that happens to come after a signal. */

/** Whether `error` is the abort of `signal` itself, or was caused by it. */
export function isAbort(error: unknown, signal: AbortSignal | undefined): boolean {
  if (!signal?.aborted) return false;
  for (let each: unknown = error, depth = 0; each !== undefined && depth < 10; depth++) {
    if (each === signal.reason || (each as { name?: unknown } | null)?.name === 'AbortError') return true;
    each = (each as { cause?: unknown } | null)?.cause;
  }
  return false;
}
