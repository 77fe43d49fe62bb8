import * as tf from '@tensorflow/tfjs-core';

/** Decoded values in -1..1 (with overshoot) to [0, 1]. */
export const toUnitRange = <T extends tf.Tensor>(x: T): T =>
  tf.clipByValue(tf.add(tf.mul(x, 0.5), 0.5), 0, 1) as T;

/** [0, 1] to a VAE's -1..1. */
export const fromUnitRange = <T extends tf.Tensor>(x: T): T => tf.sub(tf.mul(x, 2), 1) as T;
