import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Params } from './params';

/** Initial values of a parameter: a constant, normal with that deviation, or uniform within ± the bound. */
export type ParameterStart = { constant: number } | { normal: number } | { uniform: number };
export interface ParameterSpec {
  shape: number[];
  start: ParameterStart;
}

/** New parameters, one draw per name in the order of `specs`. A function of the seed alone. */
export function drawParams(specs: Record<string, ParameterSpec>, seed: number): Params {
  const root = random.key(seed);
  const entries = Object.entries(specs).map(([name, { shape, start }], i) => {
    const value = tf.tidy(() => {
      if ('constant' in start) return tf.fill(shape, start.constant);
      const key = random.foldIn(root, i);
      if ('normal' in start) return tf.mul(random.normal(key, shape), start.normal);
      return tf.mul(tf.sub(random.uniform(key, shape), 0.5), 2 * start.uniform);
    });
    return [name, value] as const;
  });
  root.dispose();
  return Object.fromEntries(entries);
}
