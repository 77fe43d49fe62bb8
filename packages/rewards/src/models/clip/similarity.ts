import { held } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';

/** Features [B, P] divided by their 2-norm, in float32. */
export function normalized(features: tf.Tensor): tf.Tensor {
  const wide = held(features, 'float32');
  return tf.div(wide, tf.sqrt(tf.sum(tf.square(wide), -1, true)));
}

/** The cosine of row i with row i, [B]. */
export function pairedCosine(images: tf.Tensor, texts: tf.Tensor): tf.Tensor {
  return tf.sum(tf.mul(normalized(images), normalized(texts)), -1);
}
