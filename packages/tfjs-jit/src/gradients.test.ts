import * as tf from '@tensorflow/tfjs-core';
import { afterEach, describe, expect, it } from 'vitest';
import './gradients';
import { correctGradients } from './correct-gradients';
import { corrections } from './gradient-corrections';
import { onPlainBackends } from './testing/backends';
import { vjp } from './vjp';

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

  it('leave the ones that they are given, also where they are added up', () => {
    const x = tf.tensor1d([1, 2]);
    const dys = [tf.tensor1d([3, 4]), tf.tensor1d([5, 6])];
    const [dx] = vjp(() => [x, tf.square(x)], [x], dys);
    expect([...dx!.dataSync()]).toEqual([3 + 2 * 5, 4 + 4 * 6]);
    expect(dys.map(({ isDisposed }) => isDisposed)).toEqual([false, false]);
  });

  it.each([
    [[4, 3], [2, 0, 2, 1, 2], 0, 0],
    [[2, 3, 4], [1, 1, 0], 1, 0],
    [[2, 3, 4], [3, 0, 3], 2, 0],
    [[3, 2], [[1], [1]], 0, 0],
    [[3, 2, 2], [2, 0, 2], 0, 0],
    [[1, 2, 2], [0, 0], 0, 0],
    [
      [2, 3, 4],
      [
        [2, 2],
        [0, 1],
      ],
      1,
      1,
    ],
  ] as const)(
    'of picking rows of [%s] by %j along axis %i, with %i batch dimensions, adds up what was picked',
    async (shape, picked, axis, batchDims) => {
      const x = tf.randomNormal([...shape], 0, 1, 'float32', 5);
      const indices = tf.tensor(picked as never, undefined, 'int32');
      const f = (y: tf.Tensor) => tf.gather(y, indices, axis, batchDims);
      const weights = tf.randomNormal(f(x).shape, 0, 1, 'float32', 6);
      const own = tf
        .grad((y: tf.Tensor) => tf.sum(tf.mul(f(y), weights)))(x)
        .dataSync();
      // Linear: the gradient is what each element adds to the sum.
      const count = x.size;
      for (let i = 0; i < count; i++) {
        const one = tf.reshape(tf.oneHot(tf.tensor1d([i], 'int32'), count), [...shape]);
        const expected = tf.sum(tf.mul(f(tf.cast(one, 'float32')), weights)).dataSync()[0]!;
        expect(own[i]).toBeCloseTo(expected, 5);
      }
    },
  );

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

describe("registering tfjs-core's own again", () => {
  const product = () => [
    ...tf
      .grad((x: tf.Tensor) => tf.prod(x))(tf.tensor1d([2, 3, 4]))
      .dataSync(),
  ];
  const broken: tf.GradConfig = {
    kernelName: tf.Prod,
    inputsToSave: ['x'],
    gradFunc: (_, saved) => ({ x: () => tf.zerosLike(saved[0]!) }),
  };
  afterEach(() => tf.setBackend('cpu'));

  it('leaves the corrected ones in place, from one copy of this package or two', async () => {
    await tf.setBackend('cpu');
    tf.registerGradient(broken);
    expect(product()).toEqual([12, 8, 6]);
    correctGradients(corrections);
    tf.registerGradient(broken);
    expect(product()).toEqual([12, 8, 6]);
  });

  it('corrects what is made of an own one once it is there', () => {
    const own = tf.getGradient(tf.Maximum);
    tf.registerGradient({
      ...own,
      gradFunc: (dy) => ({ a: () => dy as tf.Tensor, b: () => dy as tf.Tensor }),
    });
    const slope = tf.grad((x: tf.Tensor) => tf.sum(tf.maximum(x, tf.zeros([3, 2]))));
    expect([...slope(tf.tensor1d([1, -1])).dataSync()]).toEqual([3, 3]);
    tf.registerGradient(own);
    expect([...slope(tf.tensor1d([1, -1])).dataSync()]).toEqual([3, 0]);
  });

  it("takes one of the user's after the correction is unregistered", () => {
    const corrected = tf.getGradient(tf.Prod);
    tf.unregisterGradient(tf.Prod);
    tf.registerGradient(broken);
    expect(product()).toEqual([0, 0, 0]);
    tf.registerGradient(corrected);
    expect(product()).toEqual([12, 8, 6]);
  });
});
