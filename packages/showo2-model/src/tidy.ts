import * as tf from '@tensorflow/tfjs-core';

/** `tf.tidy` for functions that return nested records of tensors, typed as what they return. */
export function tidyTree<T>(fn: () => T): T {
  return tf.tidy(() => fn() as tf.TensorContainer) as T;
}
