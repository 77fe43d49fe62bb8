import * as tf from '@tensorflow/tfjs-core';

/** Repeats the single row of x [1, ...]. */
export function repeatRows(x: tf.Tensor, rows: number): tf.Tensor {
  if (x.shape[0] === rows) return x;
  if (x.shape[0] !== 1) throw new Error(`A condition of ${x.shape[0]} rows cannot serve ${rows} latents.`);
  // As a matrix: the gradient of tf.tile knows no more than four axes.
  return tf.reshape(tf.tile(tf.reshape(x, [1, -1]), [rows, 1]), [rows, ...x.shape.slice(1)]);
}
