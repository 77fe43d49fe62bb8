/** Clipping and AdamW with the recipe's constants, as part of a program. */

import type { Params } from '@flow-grpo/grpo-trainer';
import {
  type AdamWState,
  adamWInit,
  adamWScalars,
  adamWUpdate,
  clipByGlobalNorm,
} from '@flow-grpo/grpo-trainer/maths';
import { jit, shardLike } from '@flow-grpo/tfjs-jit';
import type * as tf from '@tensorflow/tfjs-core';

const ADAMW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 1e-4 };

/** What a step changes; donated. */
export interface OptimizerState {
  readonly weights: Params;
  readonly moments: AdamWState;
}

/** Moments lie on the devices as their weights do. */
export const optimizerState = (weights: Params): OptimizerState => ({
  weights,
  moments: jit((of: Params): AdamWState => {
    const { mean, variance } = adamWInit(of);
    return { mean: alike(mean, of), variance: alike(variance, of) };
  })(weights),
});

/** Values that lie on the devices as those of the same names. */
export const alike = (values: Params, like: Params): Params =>
  Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, shardLike(value, like[name] as tf.Tensor)]),
  );

/** What differs from step to step, for {@link clippedAdamW}. */
export const stepScalars = (learningRate: number, step: number): tf.Tensor1D =>
  adamWScalars(learningRate, step, ADAMW);

/** Gradients clipped to norm 1, then AdamW; also the norm before clipping. */
export function clippedAdamW(
  state: OptimizerState,
  gradients: Params,
  scalars: tf.Tensor1D,
): { state: OptimizerState; norm: tf.Tensor } {
  const clipped = clipByGlobalNorm(gradients, 1);
  const { weights, moments } = state;
  const next = adamWUpdate(weights, moments, clipped.gradients, scalars, ADAMW);
  return {
    state: {
      weights: alike(next.params, weights),
      moments: { mean: alike(next.state.mean, weights), variance: alike(next.state.variance, weights) },
    },
    norm: clipped.norm,
  };
}
