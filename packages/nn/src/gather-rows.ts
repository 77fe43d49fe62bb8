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
  if (rows === 1) return repeatRows(table, index.shape[0]); // one-hot vectors have at least two places
  const chosen = tf.cast(tf.oneHot(index, rows), 'float32') as tf.Tensor2D; // its own float32 is wrong on WebAssembly
  const flat = tf.reshape(table, [rows, -1]) as tf.Tensor2D;
  return tf.reshape(tf.matMul(chosen, flat), [index.shape[0], ...inner]);
}

/** Repeats the single row of x [1, ...]. */
export function repeatRows(x: tf.Tensor, rows: number): tf.Tensor {
  if (x.shape[0] === rows) return x;
  if (x.shape[0] !== 1) throw new Error(`A condition of ${x.shape[0]} rows cannot serve ${rows} latents.`);
  // As a matrix: the gradient of tf.tile knows no more than four axes.
  return tf.reshape(tf.tile(tf.reshape(x, [1, -1]), [rows, 1]), [rows, ...x.shape.slice(1)]);
}
