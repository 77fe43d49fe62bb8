/** Flow-DPPO: the divergence of a step decides which samples stop training, in place of the ratio's clip. */
import * as tf from '@tensorflow/tfjs-core';
import { meanOverSample } from '../maths/loss';
import { detach, weighted } from './rows';

export interface FlowDppoOptions {
  /** Divergence from which a sample that has moved far enough in its direction stops training. */
  readonly threshold: number;
}

/** (sample, step) rows [n]. */
export interface FlowDppoInputs {
  /** log p(next) − log p_old(next), differentiable: the sampler's `logRatio`. */
  readonly logRatio: tf.Tensor;
  /** D of the step; no gradient flows through it. The sampler's `gaussianKl` of the two means, or `halfSquaredDistance`. */
  readonly divergence: tf.Tensor;
  readonly advantages: tf.Tensor;
  /** Sums to 1. */
  readonly weights: tf.Tensor;
}

/** mean (mean − oldMean)² / 2, [n]: the divergence without division by the step's variance. */
export const halfSquaredDistance = (mean: tf.Tensor, oldMean: tf.Tensor): tf.Tensor =>
  tf.mul(0.5, meanOverSample(tf.square(tf.sub(mean, oldMean))));

/**
 * mean of −A·ratio, where rows with D ≥ threshold that have moved the way their advantage asks (ratio > 1 and A > 0, or
 * ratio < 1 and A < 0) count 0 and stay in the mean.
 *
 * Source: Flow-DPPO; Tencent-Hunyuan/UniRL unirl/algorithms/flowdppo.py.
 *
 * @returns the scalar loss; ratio, above, masked (0 or 1) and the loss of each row [n]; metrics as scalars
 */
export function flowDppoLoss(
  { logRatio, divergence, advantages, weights }: FlowDppoInputs,
  { threshold }: FlowDppoOptions,
) {
  const ratio = tf.exp(logRatio);
  const moved = detach(ratio);
  const distance = detach(divergence);
  const above = tf.greaterEqual(distance, threshold);
  const outward = tf.logicalOr(
    tf.logicalAnd(tf.greater(moved, 1), tf.greater(advantages, 0)),
    tf.logicalAnd(tf.less(moved, 1), tf.less(advantages, 0)),
  );
  const masked = tf.logicalAnd(above, outward);
  const rows = tf.where(masked, tf.zerosLike(ratio), tf.neg(tf.mul(advantages, ratio)));
  const used = tf.cast(tf.greater(weights, 0), 'float32');
  const metrics = {
    maskedFraction: weighted(weights, tf.cast(masked, 'float32')),
    /** ½ mean (log ratio)² */
    approxKl: tf.mul(0.5, weighted(weights, tf.square(detach(logRatio)))),
    maxDivergence: tf.max(tf.mul(used, distance)),
    /** The unbiased standard deviation of the ratio. */
    ratioStd: standardDeviation(moved, weights, used),
  };
  return { ratio, above, masked, rows, loss: weighted(weights, rows), metrics };
}

/** Of weighted rows, with n / (n − 1) for the n rows that have a weight. */
function standardDeviation(values: tf.Tensor, weights: tf.Tensor, used: tf.Tensor): tf.Tensor {
  const total = tf.sum(weights);
  const mean = tf.div(weighted(weights, values), total);
  const variance = tf.div(weighted(weights, tf.square(tf.sub(values, mean))), total);
  const count = tf.sum(used);
  return tf.sqrt(tf.div(tf.mul(variance, count), tf.maximum(tf.sub(count, 1), 1)));
}
