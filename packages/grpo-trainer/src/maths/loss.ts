/** The clipped policy loss of Flow-GRPO, its KL penalty and the numbers that tell how far the policy moved. */
import * as tf from '@tensorflow/tfjs-core';

export interface ClipOptions {
  /** flow_grpo: train.clip_range. The ratio is clamped to [1 − clipRange, 1 + clipRange]. */
  readonly clipRange: number;
  /** flow_grpo: train.adv_clip_max. Advantages are clamped to [−advClipMax, advClipMax]. */
  readonly advClipMax: number;
}

/**
 * max(−A·ratio, −A·clamp(ratio)) elementwise, A the clamped advantage. Where both sides are equal (ratio inside
 * the range) the gradient is that of the unclipped one.
 *
 * Source: flow_grpo/scripts/train_sd3.py; PPO (arXiv 1707.06347, eq. 7).
 *
 * @param ratio [B]
 * @param advantages [B]
 */
export function clippedPolicyLoss(
  ratio: tf.Tensor,
  advantages: tf.Tensor,
  { clipRange, advClipMax }: ClipOptions,
): tf.Tensor {
  const gain = tf.neg(tf.clipByValue(advantages, -advClipMax, advClipMax));
  const unclipped = tf.mul(gain, ratio);
  const clipped = tf.mul(gain, tf.clipByValue(ratio, 1 - clipRange, 1 + clipRange));
  // tf.maximum splits the gradient of ties between both sides, which would halve it or double it here.
  return tf.where(tf.greaterEqual(unclipped, clipped), unclipped, clipped);
}

/**
 * KL on the velocity: mean over all but the batch axis of (v − v_reference)². The same weight at every
 * timestep, unlike the KL of a step's mean.
 *
 * @returns [B]
 */
export function velocityKl(velocity: tf.Tensor, referenceVelocity: tf.Tensor): tf.Tensor {
  return meanOverSample(tf.square(tf.sub(velocity, referenceVelocity)));
}

/** How far the policy is from the one that made the samples; scalars. */
export type RatioStatistics = {
  /** ½ mean (log p − log p_old)². */
  readonly approxKl: tf.Tensor;
  /** Weighted fraction with |ratio − 1| > clipRange, and of its two sides. */
  readonly clipFraction: tf.Tensor;
  readonly clipFractionAbove: tf.Tensor;
  readonly clipFractionBelow: tf.Tensor;
};

/** @param weights [B], sums to 1: uniform for a full batch, 0 on padding rows. */
export function ratioStatistics(
  logProb: tf.Tensor,
  oldLogProb: tf.Tensor,
  ratio: tf.Tensor,
  weights: tf.Tensor,
  clipRange: number,
): RatioStatistics {
  const above = tf.greater(tf.sub(ratio, 1), clipRange);
  const below = tf.greater(tf.sub(1, ratio), clipRange);
  const share = (mask: tf.Tensor) => tf.sum(tf.mul(weights, tf.cast(mask, 'float32')));
  return {
    approxKl: tf.mul(0.5, tf.sum(tf.mul(weights, tf.square(tf.sub(logProb, oldLogProb))))),
    clipFraction: share(tf.logicalOr(above, below)),
    clipFractionAbove: share(above),
    clipFractionBelow: share(below),
  };
}

/** Mean over all axes but the first: [B, …] → [B]. */
export function meanOverSample(x: tf.Tensor): tf.Tensor {
  return tf.mean(tf.reshape(x, [x.shape[0]!, -1]), 1);
}
