import * as tf from '@tensorflow/tfjs-core';
import { along, meanOfSample, type PerSample } from '../broadcast';
import type { StepCoefficients } from '../steps/coefficients';

/**
 * KL(N(mean, std²) ‖ N(reference, std²)) = (mean − reference)²/(2·std²), averaged over all but the batch axis: [B].
 * flow_grpo's `kl_loss` divides by 2·σ_t², without dt: pass std/sqrt(dt) to get its number.
 */
export const gaussianKl = (mean: tf.Tensor, reference: tf.Tensor, std: PerSample): tf.Tensor1D =>
  tf.tidy(() => {
    const distance = tf.div(tf.sub(mean, reference), along(std, mean));
    return tf.mul(meanOfSample(tf.square(distance)), 0.5) as tf.Tensor1D;
  });

/**
 * The same KL [B] from the two velocities at the same x. Means differ by velocityCoefficient·(v − reference); formed so,
 * x cancels exactly, where the difference of two means loses digits.
 */
export const klOfVelocities = (
  c: StepCoefficients,
  velocity: tf.Tensor,
  reference: tf.Tensor,
): tf.Tensor1D => {
  if (c.std === 0) throw new RangeError('a step without noise has no KL divergence');
  return tf.tidy(() => {
    const shift = tf.mul(tf.sub(velocity, reference), along(c.velocityCoefficient, velocity));
    return gaussianKl(shift, tf.zerosLike(shift), c.std);
  });
};
