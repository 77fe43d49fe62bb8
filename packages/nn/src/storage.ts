import { cast, type FloatStorage, storageOf } from '@flow-grpo/tfjs-jit';
import type * as tf from '@tensorflow/tfjs-core';

/** `x` held as `storage`; `x` itself where it already is. */
export function held<T extends tf.Tensor>(x: T, storage: FloatStorage): T {
  return storageOf(x) === storage ? x : cast(x, storage);
}

/** `x` held as `like` is: the precision of an activation follows the weights it meets. */
export function heldAs<T extends tf.Tensor>(x: T, like: tf.Tensor): T {
  return held(x, storageOf(like));
}
