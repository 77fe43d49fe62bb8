import * as tf from '@tensorflow/tfjs-core';

/** Root-mean-square normalisation of the last axis, times `weight` (Zhang and Sennrich 2019). */
export function rmsNorm(x: tf.Tensor, weight: tf.Tensor, eps: number): tf.Tensor {
  const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), eps));
  return tf.mul(tf.mul(x, inverse), weight);
}

/** Layer normalisation of the last axis with gain and shift (Ba et al. 2016), population variance. */
export function layerNorm(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor, eps: number): tf.Tensor {
  const centred = tf.sub(x, tf.mean(x, -1, true));
  const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), eps));
  return tf.add(tf.mul(tf.mul(centred, inverse), weight), bias);
}
