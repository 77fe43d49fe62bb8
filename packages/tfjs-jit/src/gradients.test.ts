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

  it('of a batch norm without offset or scale is that with 0 and 1', () => {
    const x = tf.tensor2d([1, 2, 3, 4, 5, 7], [3, 2]);
    const [mean, variance, ones, zeros] = [
      [1, 4],
      [2, 3],
      [1, 1],
      [0, 0],
    ].map((row) => tf.tensor1d(row));
    const grads = (offset?: tf.Tensor1D, scale?: tf.Tensor1D) =>
      tf
        .grads((y, m, v) => tf.sum(tf.square(tf.batchNorm(y, m, v, offset, scale))))([x, mean!, variance!])
        .map((gradient) => [...gradient.dataSync()]);
    const whole = grads(zeros as tf.Tensor1D, ones as tf.Tensor1D);
    for (const [offset, scale] of [[], [zeros], [undefined, ones]]) {
      expect(grads(offset as tf.Tensor1D, scale as tf.Tensor1D)).toEqual(whole);
    }
    expect(whole[0]!.some((value) => value !== 0)).toBe(true);
  });
});
