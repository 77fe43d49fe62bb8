/** Row numbers as tensors. */
import * as tf from '@tensorflow/tfjs-core';

/** int32 [end − start]: start, start + 1, … */
export function indices(start: number, end: number): tf.Tensor1D {
  return tf.tensor1d(
    Int32Array.from({ length: end - start }, (_, i) => start + i),
    'int32',
  );
}
