/** Classifier-free guidance as Z-Image's pipeline computes it. */
import * as tf from '@tensorflow/tfjs-core';

export interface Guidance {
  /**
   * g of v = c + g (c − u), one less than the usual scale: 0 (Turbo's) means no guidance, and the negative prompt is not
   * evaluated.
   */
  readonly guidanceScale: number;
  /**
   * Keeps a guided velocity, over a whole image, from being longer than so many times the conditional one; `true` is 1, `false`
   * (default) no limit (`cfg_normalization`).
   */
  readonly cfgNormalization?: boolean | number | undefined;
  /** No guidance at times t > this, where it is 1 or less; default 1: always (`cfg_truncation`). */
  readonly cfgTruncation?: number | undefined;
}

/**
 * Whether velocities at some time need the unconditional branch.
 *
 * @throws {RangeError} when the scale is negative or not finite
 */
export function isGuided({ guidanceScale }: Pick<Guidance, 'guidanceScale'>): boolean {
  if (!(guidanceScale >= 0 && guidanceScale < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`guidanceScale must be 0 (no guidance) or more, not ${guidanceScale}`);
  }
  return guidanceScale > 0;
}

/** Whether velocities at this time, 0 noise and 1 data, need the unconditional branch. */
export const isGuidedAt = (guidance: Guidance, t: number): boolean =>
  isGuided(guidance) && !(t > (guidance.cfgTruncation ?? 1) && (guidance.cfgTruncation ?? 1) <= 1);

/**
 * The guided velocity of the two branches [B, …], float32.
 *
 * @param t [B] times, for `cfgTruncation`; without them every row is guided
 */
export function guide(
  conditional: tf.Tensor,
  unconditional: tf.Tensor,
  { guidanceScale, cfgNormalization = false, cfgTruncation = 1 }: Guidance,
  t?: tf.Tensor,
): tf.Tensor {
  const perItem = (x: tf.Tensor) => tf.reshape(x, [x.shape[0]!, ...conditional.shape.slice(1).map(() => 1)]);
  const isOn =
    t && cfgTruncation < 1 ? perItem(tf.cast(tf.lessEqual(t, cfgTruncation), 'float32')) : undefined;
  const step = tf.mul(tf.sub(conditional, unconditional), guidanceScale);
  const guided = tf.add(conditional, isOn ? tf.mul(step, isOn) : step);
  const limit = Number(cfgNormalization);
  if (limit <= 0) return guided;
  const lengthOf = (x: tf.Tensor) => tf.sqrt(tf.sum(tf.square(tf.reshape(x, [x.shape[0]!, -1])), 1));
  const ratio = tf.div(tf.mul(lengthOf(conditional), limit), tf.maximum(lengthOf(guided), 1e-20));
  return tf.mul(guided, perItem(tf.minimum(ratio, 1)));
}
