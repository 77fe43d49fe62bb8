/** What the losses have in common: rows of a gradient pass, reduced to one number for each, and weighted. */
import { stopGradient } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import { meanOverSample } from '../maths/loss';

/** A value as a constant: no gradient flows through it. */
export const detach = <T extends tf.Tensor>(value: T): T => stopGradient(() => tf.clone(value)) as T;

/** [n] values in a shape that broadcasts against x [n, …]. */
export const alongRows = (values: tf.Tensor, x: tf.Tensor): tf.Tensor =>
  tf.reshape(values, [x.shape[0]!, ...x.shape.slice(1).map(() => 1)]);

/** Σ weights · values, a scalar: the mean over the update's images, since their weights sum to 1. */
export const weighted = (weights: tf.Tensor, values: tf.Tensor): tf.Scalar =>
  tf.sum(tf.mul(weights, values)) as tf.Scalar;

/** Mean over all but the first axis of (a − b)²: [n]. */
export const meanSquare = (a: tf.Tensor, b: tf.Tensor): tf.Tensor1D =>
  meanOverSample(tf.square(tf.sub(a, b))) as tf.Tensor1D;

/** The smallest adaptive weight. */
const WEIGHT_FLOOR = 1e-5;

/**
 * The adaptive weight of a squared error: the mean of |a − b| over all but the first axis, at least 1e-5 and without
 * gradient: [n]. An error divided by it counts alike at all times.
 */
export const adaptiveWeight = (a: tf.Tensor, b: tf.Tensor): tf.Tensor1D =>
  stopGradient(() => tf.maximum(meanOverSample(tf.abs(tf.sub(a, b))), WEIGHT_FLOOR)) as tf.Tensor1D;

/** Points on straight lines from noise to data, x = (1 − t)·noise + t·data, and the velocity there: data − noise. */
export function pointsOnLines(
  data: tf.Tensor,
  noise: tf.Tensor,
  t: tf.Tensor,
): { x: tf.Tensor; target: tf.Tensor } {
  const time = alongRows(t, data);
  return {
    x: tf.add(tf.mul(tf.sub(1, time), noise), tf.mul(time, data)),
    target: tf.sub(data, noise),
  };
}

/**
 * Whether two rows belong to one group, [n, n] of 0 and 1.
 *
 * @param group [n] whole numbers
 */
export const sameGroup = (group: tf.Tensor): tf.Tensor2D =>
  tf.cast(tf.equal(tf.expandDims(group, 1), tf.expandDims(group, 0)), 'float32') as tf.Tensor2D;
