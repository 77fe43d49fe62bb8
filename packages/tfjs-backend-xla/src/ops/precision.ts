/** Reduced-precision storage behind tfjs' dtype 'float32'. */
import * as tf from '@tensorflow/tfjs-core';

/** How the elements of a float32 tensor are held on the device. */
export type FloatStorage = 'float32' | 'bfloat16' | 'float16';

/**
 * The tensor with its elements held as `storage`. Its tfjs dtype stays 'float32' and it reads back as
 * float32. On other backends than XLA, which hold float32 only, the values are not rounded.
 *
 * @throws when `x` is not a float32 tensor.
 */
export function cast<T extends tf.Tensor>(x: T, storage: FloatStorage): T {
  if (storage !== 'float32' && storage !== 'bfloat16' && storage !== 'float16') {
    throw new Error(`cast: storage must be 'float32', 'bfloat16' or 'float16', not ${String(storage)}`);
  }
  if (x.dtype !== 'float32') throw new Error(`cast: expected a float32 tensor, not ${x.dtype}`);
  return tf.clone(x);
}
