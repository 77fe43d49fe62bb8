import { castToStorage, type Params } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import type { ClipConfig } from './config';
import { clipText, clipVision, type TextInput } from './towers';

/** Features [B, P] divided by their 2-norm, in float32. */
export function normalized(features: tf.Tensor): tf.Tensor {
  const wide = castToStorage(features, 'float32');
  return tf.div(wide, tf.sqrt(tf.sum(tf.square(wide), -1, true)));
}

/** The cosine of row i with row i, [B]. */
export function pairedCosine(images: tf.Tensor, texts: tf.Tensor): tf.Tensor {
  return tf.sum(tf.mul(normalized(images), normalized(texts)), -1);
}

/** The cosine of each picture, as pixels [B, H, W, 3], with its own text: [B]. */
export function clipCosine(
  params: Params,
  config: ClipConfig,
  pixels: tf.Tensor,
  texts: TextInput,
): tf.Tensor {
  const images = clipVision(params, config.vision, pixels).features;
  return pairedCosine(images, clipText(params, config.text, texts).features);
}
