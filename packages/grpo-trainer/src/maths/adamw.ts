/** AdamW as functions of tensors, so that it runs inside a jitted update. */
import * as tf from '@tensorflow/tfjs-core';
import type { Params } from '../policy';

export interface AdamWOptions {
  /** flow_grpo: train.adam_beta1. */
  readonly beta1: number;
  /** flow_grpo: train.adam_beta2. */
  readonly beta2: number;
  /** flow_grpo: train.adam_epsilon. */
  readonly epsilon: number;
  /** flow_grpo: train.adam_weight_decay; decoupled from the gradient. */
  readonly weightDecay: number;
}

/** The moments, float32, one pair a parameter. The number of steps is kept by the caller. */
export type AdamWState = {
  readonly mean: Params;
  readonly variance: Params;
};

/** Zero moments for parameters. */
export function adamWInit(params: Params): AdamWState {
  const zeros = () => mapParams(params, (value) => tf.fill(value.shape, 0));
  return { mean: zeros(), variance: zeros() };
}

/**
 * What changes from step to step, as one tensor, so that a compiled update serves them all:
 * [learningRate, learningRate / (1 − β₁ᵗ), 1 / √(1 − β₂ᵗ)], computed in double precision.
 *
 * @param step 1 for the first update.
 */
export function adamWScalars(
  learningRate: number,
  step: number,
  { beta1, beta2 }: AdamWOptions,
): tf.Tensor1D {
  if (!Number.isInteger(step) || step < 1) throw new Error(`adamW: steps count from 1, not ${step}`);
  return tf.tensor1d([learningRate, learningRate / (1 - beta1 ** step), 1 / Math.sqrt(1 - beta2 ** step)]);
}

/**
 * One step; the arithmetic and its order are PyTorch's `AdamW`.
 *
 * Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization (arXiv 1711.05101).
 */
export function adamWUpdate(
  params: Params,
  state: AdamWState,
  gradients: Params,
  scalars: tf.Tensor1D,
  { beta1, beta2, epsilon, weightDecay }: AdamWOptions,
): { params: Params; state: AdamWState } {
  const [learningRate, stepSize, variancePart] = [0, 1, 2].map((i) =>
    tf.reshape(tf.slice(scalars, [i], [1]), []),
  ) as [tf.Tensor, tf.Tensor, tf.Tensor];
  const keep = tf.sub(1, tf.mul(learningRate, weightDecay));
  const next: { params: Params; mean: Params; variance: Params } = { params: {}, mean: {}, variance: {} };
  for (const [name, value] of Object.entries(params)) {
    const gradient = required(gradients, name, 'gradient');
    const mean = tf.add(tf.mul(required(state.mean, name, 'moment'), beta1), tf.mul(gradient, 1 - beta1));
    const variance = tf.add(
      tf.mul(required(state.variance, name, 'moment'), beta2),
      tf.mul(tf.square(gradient), 1 - beta2),
    );
    const denominator = tf.add(tf.mul(tf.sqrt(variance), variancePart), epsilon);
    next.mean[name] = mean;
    next.variance[name] = variance;
    next.params[name] = tf.sub(tf.mul(value, keep), tf.mul(stepSize, tf.div(mean, denominator)));
  }
  return { params: next.params, state: { mean: next.mean, variance: next.variance } };
}

/** Euclidean norm of all gradients together; a scalar. */
export function globalNorm(gradients: Params): tf.Tensor {
  const squares = Object.values(gradients).map((gradient) => tf.sum(tf.square(gradient)));
  return tf.sqrt(squares.length === 1 ? squares[0]! : tf.addN(squares));
}

/** Scales all gradients by min(1, maxNorm / (norm + 1e-6)), as PyTorch's `clip_grad_norm_` does. */
export function clipByGlobalNorm(gradients: Params, maxNorm: number): { gradients: Params; norm: tf.Tensor } {
  const norm = globalNorm(gradients);
  const scale = tf.minimum(1, tf.div(maxNorm, tf.add(norm, 1e-6)));
  return { gradients: mapParams(gradients, (gradient) => tf.mul(gradient, scale)), norm };
}

/** The same record with every tensor replaced by `f(tensor, name)`. */
export function mapParams(params: Params, f: (value: tf.Tensor, name: string) => tf.Tensor): Params {
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [name, f(value, name)]));
}

function required(record: Params, name: string, what: string): tf.Tensor {
  const value = record[name];
  if (!value) throw new Error(`adamW: no ${what} for parameter ${name}`);
  return value;
}
