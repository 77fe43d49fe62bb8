import * as tf from '@tensorflow/tfjs-core';

/**
 * Sinusoidal features [B, dim] of times `t` [B]: cosines first, then sines, of t · maxPeriod^(-i / (dim/2)).
 * The times are used as they are; scale them before where a model wants 0..1000 (Nichol et al. 2021, GLIDE).
 */
export function timestepFeatures(t: tf.Tensor, dim = 256, maxPeriod = 10000): tf.Tensor {
  if (dim % 2 !== 0) throw new Error(`Timestep features need an even width, got ${dim}.`);
  const half = dim / 2;
  const frequencies = Float32Array.from({ length: half }, (_, i) =>
    Math.exp(Math.fround(Math.fround(-Math.log(maxPeriod) * i) / half)),
  );
  const angles = tf.mul(tf.reshape(t, [-1, 1]), tf.tensor(frequencies, [1, half]));
  return tf.concat([tf.cos(angles), tf.sin(angles)], 1);
}
