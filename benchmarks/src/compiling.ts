/** Compiling apart from running. */
import type { Jitted } from '@flow-grpo/tfjs-jit';

export interface Compiled {
  /** Tracing, and XLA's compilation (or reading it from the cache). */
  readonly compileSeconds: number;
  /** What the program needs beside its arguments. */
  readonly temporaryGiB: number;
}

/** Compiles `fn` for these arguments without running it. */
export async function compile<A extends unknown[], R>(fn: Jitted<A, R>, ...args: A): Promise<Compiled> {
  const start = performance.now();
  await fn.compile(...args);
  const compileSeconds = (performance.now() - start) / 1000;
  return { compileSeconds, temporaryGiB: fn.lower(...args).cost().temporaryBytes / 2 ** 30 };
}
