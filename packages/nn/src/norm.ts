import * as tf from '@tensorflow/tfjs-core';
import { castLike, castToStorage } from './cast';
import { type Params, param } from './params';

/**
 * Root-mean-square normalisation of the last axis, times `weight` (Zhang and Sennrich 2019). Statistics are float32;
 * the gain multiplies after rounding to x's precision, as in Qwen2 and Llama.
 */
export function rmsNorm(x: tf.Tensor, weight: tf.Tensor, eps: number): tf.Tensor {
  const wide = castToStorage(x, 'float32');
  const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(wide), -1, true), eps));
  return tf.mul(castLike(tf.mul(wide, inverse), x), castLike(weight, x));
}

/**
 * Layer normalisation of the last axis (Ba et al. 2016), population variance; with gain and shift, or without both. Statistics
 * are float32.
 */
export function layerNorm(
  x: tf.Tensor,
  weight: tf.Tensor | undefined,
  bias: tf.Tensor | undefined,
  eps: number,
): tf.Tensor {
  const wide = castToStorage(x, 'float32');
  const centred = tf.sub(wide, tf.mean(wide, -1, true));
  const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), eps));
  const normed = tf.mul(centred, inverse);
  const gained = weight ? tf.mul(normed, castToStorage(weight, 'float32')) : normed;
  return castLike(bias ? tf.add(gained, castToStorage(bias, 'float32')) : gained, x);
}

/**
 * Group normalisation of images [N, H, W, C] over space and the channels of each of `groups` (Wu and He 2018), times
 * `name.weight` [C], plus `name.bias` [C]. Statistics are float32.
 */
export function groupNorm<T extends tf.Tensor>(
  params: Params,
  name: string,
  x: T,
  groups: number,
  eps: number,
): T {
  const [batch, height, width, channels] = x.shape as [number, number, number, number];
  const size = channels / groups;
  const wide = tf.reshape(castToStorage(x, 'float32') as tf.Tensor, [batch, height * width, groups, size]);
  const centred = tf.sub(wide, tf.mean(wide, [1, 3], true));
  const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(centred), [1, 3], true), eps));
  const normed = tf.reshape(tf.mul(centred, inverse), x.shape);
  const gained = tf.mul(normed, castToStorage(param(params, `${name}.weight`), 'float32'));
  return castLike(tf.add(gained, castToStorage(param(params, `${name}.bias`), 'float32')), x) as T;
}
