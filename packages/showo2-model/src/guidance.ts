import * as tf from '@tensorflow/tfjs-core';

/**
 * Whether a guidance scale needs the unconditional branch. 0 means no guidance (upstream's `t2i_generate`).
 *
 * @throws {RangeError} when the scale is negative or not finite
 */
export function isGuided(scale: number): boolean {
  if (!(scale >= 0 && scale < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`guidanceScale must be 0 (no guidance) or more, not ${scale}`);
  }
  return scale > 0;
}

/**
 * u + scale · (c − u); at scale 0 the conditional velocity alone.
 *
 * @throws {RangeError} when the scale is negative or not finite
 */
export function guide(conditional: tf.Tensor, unconditional: tf.Tensor, scale: number): tf.Tensor {
  if (!isGuided(scale)) return tf.clone(conditional);
  return tf.add(unconditional, tf.mul(tf.sub(conditional, unconditional), scale));
}
