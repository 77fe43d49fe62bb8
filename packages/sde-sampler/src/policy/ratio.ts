import * as tf from '@tensorflow/tfjs-core';
import { along, meanOfSample, type PerSample } from '../broadcast';
import { gaussianKl } from './kl';

/** exp(logProb − oldLogProb), [B]. */
export const importanceRatio = (logProb: tf.Tensor, oldLogProb: tf.Tensor): tf.Tensor1D =>
  tf.tidy(() => tf.exp(tf.sub(logProb, oldLogProb)) as tf.Tensor1D);

/** A step under two policies. Tensors [B, ...]. */
export interface TwoPolicies {
  mean: tf.Tensor;
  oldMean: tf.Tensor;
  /** The sample drawn under the old policy. */
  next: tf.Tensor;
  std: PerSample;
}

/**
 * log p(next)/p_old(next) of Gaussians with one std, [B], averaged over all but the batch axis. With
 * d = (mean − oldMean)/std and w = (next − oldMean)/std it is d·w − d²/2: no two log-probabilities of a few units
 * are subtracted, so a ratio of 1 + 1e-6 keeps its digits.
 */
export const logRatio = ({ mean, oldMean, next, std }: TwoPolicies): tf.Tensor1D =>
  tf.tidy(() => {
    const scale = along(std, mean);
    const d = tf.div(tf.sub(mean, oldMean), scale);
    const w = tf.div(tf.sub(next, oldMean), scale);
    return meanOfSample(tf.mul(d, tf.sub(w, tf.mul(d, 0.5))));
  });

/**
 * GRPO-Guard's normalised ratio (arXiv 2510.22319), [B]:
 *
 *     exp((log p − log p_old + mean((mean − oldMean)²)/(2·std²))·std)
 *
 * The log-ratio is d·w − d²/2: its mean is below 0 whenever the policy moved, so clipping above 1 hardly acts; the
 * added term takes that bias away, and the factor std (sqrt(dt)·σ) makes the spread equal at all steps.
 * @param std a number, or per sample; the standard deviation of the step
 */
export const guardedRatio = (
  logProb: tf.Tensor,
  oldLogProb: tf.Tensor,
  { mean, oldMean, std }: Omit<TwoPolicies, 'next'>,
): tf.Tensor1D =>
  tf.tidy(() => {
    const centred = tf.add(tf.sub(logProb, oldLogProb), gaussianKl(mean, oldMean, std));
    return tf.exp(tf.mul(centred, typeof std === 'number' ? std : along(std, centred))) as tf.Tensor1D;
  });

/** GRPO-Guard's weight of a step's loss, 1/dt, which evens out the gradients of the steps. */
export function guardedWeight(dt: number): number;
export function guardedWeight(dt: tf.Tensor): tf.Tensor;
export function guardedWeight(dt: number | tf.Tensor): number | tf.Tensor {
  if (typeof dt !== 'number') return tf.reciprocal(dt);
  if (!(dt > 0)) throw new RangeError(`dt must be above 0, not ${dt}`);
  return 1 / dt;
}
