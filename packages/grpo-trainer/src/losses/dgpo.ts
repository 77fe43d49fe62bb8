/** Direct group preference optimisation: weights of whole groups on the flow-matching error. */
import * as tf from '@tensorflow/tfjs-core';
import { detach, meanSquare, sameGroup, weighted } from './rows';

export interface DgpoOptions {
  /** Strength of the preference inside the group's weight. */
  readonly betaDpo: number;
  /** Images of a group. */
  readonly groupSize: number;
  /** Half the width of the range of q = exp(e_fast − e) in which errors keep their gradient. */
  readonly clipRange: number;
  /** Whether errors outside of that range lose their gradient. */
  readonly clipPolicy: boolean;
  /** Whether the KL of such samples loses its gradient too. */
  readonly clipKl: boolean;
  /** Weight of the KL on the velocity. */
  readonly klWeight: number;
  /** Advantages are clipped to [−advClipMax, advClipMax]. */
  readonly advClipMax: number;
}

/** Rows [n, …] of one time: whole groups, the samples of a group noised alike. */
export interface DgpoInputs {
  /** data − noise */
  readonly target: tf.Tensor;
  readonly velocity: tf.Tensor;
  /** What the group's weight compares with: the reference, or the fast weights. Without gradient. */
  readonly groupReferenceVelocity: tf.Tensor;
  /** Of the fast weights, without gradient; needed to clip. */
  readonly fastVelocity?: tf.Tensor | undefined;
  /** Of the reference (guided or not), without gradient; without it there is no KL. */
  readonly referenceVelocity?: tf.Tensor | undefined;
  readonly advantages: tf.Tensor;
  /** [n] the group of each, whole numbers */
  readonly group: tf.Tensor;
  /** [n], sums to 1. */
  readonly weights: tf.Tensor;
}

/**
 * mean(w·a·e) + klWeight · mean (v − v_ref)², with e = mean (v − target)², S = Σ over the group of
 * a·betaDpo·(e − e_ref) / groupSize and w = sigmoid(S) without gradient. e loses its gradient where
 * (a > 0 and q > 1 + c) or (a ≤ 0 and q < 1 − c).
 *
 * Source: DGPO (arXiv 2510.08425); Luo-Yihong/DGPO scripts/train_sd3_dgpo.py.
 *
 * @returns scalars policy, kl and total; for each row [n] a, error, groupReferenceError, fastError, q, clipped (0 or 1), and
 * the sum and the weight of its group
 */
export function dgpoLoss(inputs: DgpoInputs, options: DgpoOptions) {
  const { target, velocity, fastVelocity, referenceVelocity, group, weights } = inputs;
  const { betaDpo, groupSize, clipRange, clipPolicy, clipKl, klWeight, advClipMax } = options;
  const a = tf.clipByValue(inputs.advantages, -advClipMax, advClipMax);
  const error = meanSquare(velocity, target);
  const groupReferenceError = detach(meanSquare(inputs.groupReferenceVelocity, target));
  const share = tf.div(tf.mul(tf.mul(a, betaDpo), tf.sub(detach(error), groupReferenceError)), groupSize);
  const groupSum = tf.reshape(tf.matMul(sameGroup(group), tf.expandDims(share, 1)), [-1]);
  const groupWeight = tf.sigmoid(groupSum);

  const fastError = fastVelocity && detach(meanSquare(fastVelocity, target));
  const q = fastError && tf.exp(tf.sub(fastError, detach(error)));
  const clipped = q && isClipped(a, q, clipRange);
  if ((clipPolicy || clipKl) && !clipped)
    throw new Error('dgpo: clipping needs the velocity of the fast weights');
  const withoutClipped = (rows: tf.Tensor, clip: boolean) =>
    clip && clipped ? tf.where(clipped, detach(rows), rows) : rows;
  const policy = weighted(weights, tf.mul(tf.mul(groupWeight, a), withoutClipped(error, clipPolicy)));
  const klRows = referenceVelocity && meanSquare(velocity, referenceVelocity);
  const kl = klRows ? weighted(weights, withoutClipped(klRows, clipKl)) : tf.scalar(0);
  const total = klRows ? (tf.add(policy, tf.mul(klWeight, kl)) as tf.Scalar) : policy;
  return { a, error, groupReferenceError, fastError, groupSum, groupWeight, q, clipped, policy, kl, total };
}

/** An advantage of 0 counts as negative. */
function isClipped(a: tf.Tensor, q: tf.Tensor, clipRange: number): tf.Tensor {
  const positive = tf.greater(a, 0);
  return tf.logicalOr(
    tf.logicalAnd(positive, tf.greater(q, 1 + clipRange)),
    tf.logicalAnd(tf.logicalNot(positive), tf.less(q, 1 - clipRange)),
  );
}
