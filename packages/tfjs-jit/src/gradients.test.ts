import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { onPlainBackends } from './testing/backends';

onPlainBackends('gradients', () => {
  it('are registered, with the corrected ones in place of those that throw', () => {
    const x = tf.tensor2d([
      [2, 3],
      [4, 5],
    ]);
    const grad = (f: (y: tf.Tensor) => tf.Tensor) => [
      ...tf
        .grad((y: tf.Tensor) => tf.sum(f(y)))(x)
        .dataSync(),
    ];
    expect(grad((y) => tf.neg(y))).toEqual([-1, -1, -1, -1]);
    expect(grad((y) => tf.prod(y, 1))).toEqual([3, 2, 5, 4]);
    expect(grad((y) => tf.unstack(tf.reshape(y, [1, 4]))[0]!)).toEqual([1, 1, 1, 1]);
    expect(grad((y) => tf.split(y, 1)[0]!)).toEqual([1, 1, 1, 1]);
  });
});
