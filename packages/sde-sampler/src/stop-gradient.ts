import * as tf from '@tensorflow/tfjs-core';

/** x with no gradient through it. tfjs has none of its own: a custom gradient of zero. */
export function stopGradient<T extends tf.Tensor>(x: T): T {
  const identity = tf.customGrad((value) => ({
    value: tf.clone(value as tf.Tensor),
    gradFunc: (dy: tf.Tensor) => tf.zerosLike(dy),
  }));
  return identity(x) as T;
}
