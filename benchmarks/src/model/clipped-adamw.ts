/** Clipping and AdamW with the recipe's constants, as part of a program. */
import {
  type AdamWState,
  adamWInit,
  adamWScalars,
  adamWUpdate,
  clipByGlobalNorm,
  type Params,
} from '@flow-grpo/grpo-trainer';
import type * as tf from '@tensorflow/tfjs-core';

const ADAMW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 1e-4 };

/** What a step changes; donated. */
export interface OptimizerState {
  readonly weights: Params;
  readonly moments: AdamWState;
}

export const optimizerState = (weights: Params): OptimizerState => ({ weights, moments: adamWInit(weights) });

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
  const next = adamWUpdate(state.weights, state.moments, clipped.gradients, scalars, ADAMW);
  return { state: { weights: next.params, moments: next.state }, norm: clipped.norm };
}
