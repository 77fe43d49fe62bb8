import * as tf from '@tensorflow/tfjs-core';

/**
 * Rows `index` [N] of `table` [M, …], as `tf.gather` along the first axis gives them. Differentiable in the table on every
 * backend: where one cannot add up rows by index (WebAssembly), it is a product with a one-hot matrix, so `table` must be
 * small there, and finite.
 */
export function gatherRows(table: tf.Tensor, index: tf.Tensor1D): tf.Tensor {
  if (table.dtype !== 'float32' || tf.getKernel('UnsortedSegmentSum', tf.getBackend())) {
    return tf.gather(table, index);
  }
  const [rows, ...inner] = table.shape as [number, ...number[]];
  const chosen = tf.cast(tf.oneHot(index, rows), 'float32') as tf.Tensor2D; // its own float32 is wrong on WebAssembly
  const flat = tf.reshape(table, [rows, -1]) as tf.Tensor2D;
  return tf.reshape(tf.matMul(chosen, flat), [index.shape[0], ...inner]);
}
