/** Steps as tensor arithmetic: mean, next state and log-probability. */
import * as tf from '@tensorflow/tfjs-core';
import { meanOverSample } from '../maths/loss';
import type { Step } from './step-rules';

/** The numbers of a {@link Step} that compiled functions need, as float32 tensors of one shape. */
export type StepCoefficients = {
  readonly [key in Exclude<keyof Step, 'tNext'>]: tf.Tensor;
};

/** Either kind of coefficients: host numbers of one step, or tensors, scalar or one a row. */
type Coefficients = { readonly [key in Exclude<keyof Step, 'tNext'>]: number | tf.Tensor };

const KEYS = ['t', 'xCoefficient', 'vCoefficient', 'std', 'logProbScale', 'logProbOffset', 'sigma'] as const;

/** One float32 tensor [steps.length] a coefficient. */
export function stackSteps(steps: readonly Step[]): StepCoefficients {
  return Object.fromEntries(
    KEYS.map((key) => [key, tf.tensor1d(steps.map((step) => step[key]))]),
  ) as StepCoefficients;
}

/** Coefficients of some of the steps: int32 `indices` of any shape. */
export function gatherSteps(steps: StepCoefficients, indices: tf.Tensor): StepCoefficients {
  return Object.fromEntries(
    KEYS.map((key) => [key, tf.gather(steps[key], indices as tf.Tensor1D)]),
  ) as StepCoefficients;
}

/** xCoefficient·x + vCoefficient·v, the mean of x_next. */
export function stepMean(step: Coefficients, x: tf.Tensor, velocity: tf.Tensor): tf.Tensor {
  return tf.add(tf.mul(perRow(step.xCoefficient, x), x), tf.mul(perRow(step.vCoefficient, x), velocity));
}

/** mean + std·noise. */
export function stepNext(step: Coefficients, mean: tf.Tensor, noise: tf.Tensor): tf.Tensor {
  return tf.add(mean, tf.mul(perRow(step.std, mean), noise));
}

/** log p(x_next), averaged over all but the batch axis: [B]. 0 for deterministic steps. */
export function stepLogProb(step: Coefficients, next: tf.Tensor, mean: tf.Tensor): tf.Tensor {
  const distance = meanOverSample(tf.square(tf.sub(next, mean)));
  return tf.sub(step.logProbOffset, tf.mul(step.logProbScale, distance));
}

/** A coefficient with axes of size 1 appended, so that one a row meets [B, …]. */
function perRow(coefficient: number | tf.Tensor, x: tf.Tensor): number | tf.Tensor {
  if (typeof coefficient === 'number' || coefficient.rank === 0) return coefficient;
  return tf.reshape(coefficient, [coefficient.shape[0]!, ...x.shape.slice(1).map(() => 1)]);
}
