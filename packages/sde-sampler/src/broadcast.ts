import * as tf from '@tensorflow/tfjs-core';

/** One value for the batch, [B] host numbers, or a scalar or [B] tensor. */
export type PerSample = number | readonly number[] | tf.Tensor;

/** `values` in a shape that broadcasts against x [B, ...]: a scalar, or [B, 1, 1, …]. */
export function along(values: PerSample, x: tf.Tensor): number | tf.Tensor {
  if (typeof values === 'number') return values;
  const tensor = values instanceof tf.Tensor ? values : tf.tensor1d(values as number[]);
  if (tensor.rank === 0) return tensor;
  if (tensor.rank !== 1 || tensor.shape[0] !== x.shape[0]) {
    throw new Error(`per-sample values of shape [${tensor.shape}] do not fit a batch of shape [${x.shape}]`);
  }
  return tf.reshape(tensor, [x.shape[0]!, ...new Array<number>(x.rank - 1).fill(1)]);
}

/** The mean over all but the first axis: [B, ...] → [B]. */
export const meanOfSample = (x: tf.Tensor): tf.Tensor1D =>
  x.rank === 1 ? (x as tf.Tensor1D) : tf.mean(tf.reshape(x, [x.shape[0]!, -1]), 1);
