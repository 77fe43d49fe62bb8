/** How long work on the device takes. Everything here waits for results, not for the dispatch. */
import * as tf from '@tensorflow/tfjs-core';

/** Nested arrays and records of tensors. */
export type Tensors = tf.Tensor | readonly Tensors[] | { readonly [name: string]: Tensors };

/** Milliseconds of one call. */
export interface Times {
  /** Median. */
  readonly ms: number;
  readonly msMin: number;
  readonly msMax: number;
  readonly rounds: number;
}

export interface TimingOptions {
  /** Calls before the clock runs; 2 by default. */
  readonly warm?: number;
  /** Calls that are timed, each by itself; 10 by default. */
  readonly rounds?: number;
}

/** Median and range of measured milliseconds. */
export function summary(samples: readonly number[]): Times {
  if (samples.length === 0) throw new Error('There is nothing to summarise: no round was timed');
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const ms = sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { ms, msMin: sorted[0]!, msMax: sorted.at(-1)!, rounds: sorted.length };
}

/** The first tensor of a tree. */
function firstOf(tree: Tensors): tf.Tensor {
  if (tree instanceof tf.Tensor) return tree;
  for (const branch of Object.values(tree)) return firstOf(branch as Tensors);
  throw new Error('A timed function must return at least one tensor');
}

/**
 * Waits until the program that made `tree` is done. Programs of a device run in order and their results become
 * ready together, so one number of one result is read.
 */
export async function finished(tree: Tensors): Promise<void> {
  const tensor = firstOf(tree);
  const { shape } = tensor;
  const zeros = shape.map(() => 0);
  const ones = shape.map(() => 1);
  // In the tensor's own rank: a reshape outside of a program would copy all of it.
  const one = shape.length === 0 ? tf.clone(tensor) : tf.slice(tensor, zeros, ones);
  await one.data();
  one.dispose();
}

/** Times `run`; its result is disposed of. */
export async function timed(run: () => Tensors, options: TimingOptions = {}): Promise<Times> {
  return timedMany(run, 1, options);
}

/** Times `count` calls queued before one wait, so that the host's share hides behind the device: for short work. */
export async function timedMany(
  run: () => Tensors,
  count: number,
  options: TimingOptions = {},
): Promise<Times> {
  const round = async () => {
    let last = run();
    for (let call = 1; call < count; call++) {
      dispose(last);
      last = run();
    }
    await finished(last);
    return last;
  };
  return timedRounds(round, count, options, dispose);
}

/** Times rounds of `count` calls each; what a round leaves is freed while no clock runs. */
export async function timedRounds<T>(
  round: () => Promise<T>,
  count: number,
  { warm = 2, rounds = 10 }: TimingOptions = {},
  free: (left: T) => void = () => {},
): Promise<Times> {
  const samples: number[] = [];
  for (let i = 0; i < warm + rounds; i++) {
    const start = performance.now();
    const left = await round();
    if (i >= warm) samples.push((performance.now() - start) / count);
    free(left);
  }
  return summary(samples);
}

/** Times a function that consumes (donates) its argument and returns the next one; gives the last one back. */
export async function timedCarry<C extends object>(
  step: (carry: C) => C,
  start: C,
  options: TimingOptions = {},
): Promise<{ times: Times; carry: C }> {
  let carry = start;
  const round = async () => {
    carry = step(carry);
    await finished(carry as Tensors);
  };
  return { times: await timedRounds(round, 1, options), carry };
}

/** Host time alone: `count` calls without waiting for the device, then one wait outside of the clock. */
export async function timedDispatch(
  run: () => Tensors,
  count: number,
  { warm = 2, rounds = 10 }: TimingOptions = {},
): Promise<Times> {
  const samples: number[] = [];
  for (let i = 0; i < warm + rounds; i++) {
    const results: Tensors[] = [];
    const start = performance.now();
    for (let call = 0; call < count; call++) results.push(run());
    if (i >= warm) samples.push((performance.now() - start) / count);
    await finished(results.at(-1)!);
    dispose(results);
  }
  return summary(samples);
}

/** Disposes of every tensor of a tree. */
export function dispose(tree: Tensors): void {
  tf.dispose(tree as unknown as tf.TensorContainer);
}
