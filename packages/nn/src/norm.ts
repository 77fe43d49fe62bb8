import * as tf from '@tensorflow/tfjs-core';
import { castLike, castToStorage } from './cast';

/**
 * Root-mean-square normalisation of the last axis, times `weight` (Zhang and Sennrich 2019). Statistics are float32;
 * the gain multiplies after rounding to x's precision, as in Qwen2 and Llama.
 */
export function rmsNorm(x: tf.Tensor, weight: tf.Tensor, eps: number): tf.Tensor {
  const wide = castToStorage(x, 'float32');
  const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(wide), -1, true), eps));
  return tf.mul(castLike(tf.mul(wide, inverse), x), castLike(weight, x));
}

/** Layer normalisation of the last axis with gain and shift (Ba et al. 2016), population variance. */
export function layerNorm(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor, eps: number): tf.Tensor {
  const wide = castToStorage(x, 'float32');
  const centred = tf.sub(wide, tf.mean(wide, -1, true));
  const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), eps));
  const normed = tf.mul(tf.mul(centred, inverse), castToStorage(weight, 'float32'));
  return castLike(tf.add(normed, castToStorage(bias, 'float32')), x);
}
