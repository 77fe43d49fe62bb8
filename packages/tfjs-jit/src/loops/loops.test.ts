import { expectClose } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { onPlainBackends } from '../testing/backends';
import { checkpoint } from './checkpoint';
import { scan } from './scan';
import { whileLoop } from './while-loop';

const values = (x: tf.Tensor) => [...x.dataSync()];

onPlainBackends('scan', () => {
  const layer = (h: tf.Tensor, x: { w: tf.Tensor; factor: number }): [tf.Tensor, tf.Tensor] => {
    const next = tf.mul(tf.add(h, x.w), x.factor);
    return [next, tf.sum(next)];
  };

  it('carries through the steps and stacks what each gives', () => {
    const w = tf.tensor2d([
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
    const before = tf.memory().numTensors;
    const [last, ys] = scan(layer, tf.zeros([2]), { w, factor: 2 });
    expect(values(last)).toEqual([30, 44]);
    expect(values(ys)).toEqual([6, 26, 74]);
    expect(tf.memory().numTensors).toBe(before + 3); // both results, and the zeros
  });

  it('keeps the results of some steps, wherever they begin', () => {
    const w = tf.reshape(tf.range(1, 11), [5, 2]);
    const [whole, all] = scan(layer, tf.zeros([2]), { w, factor: 2 });
    for (const [first, count] of [
      [0, 5],
      [0, 2],
      [1, 3],
      [4, 1],
    ] as const) {
      const keep = { first: tf.scalar(first, 'int32'), count };
      const [last, ys] = scan(layer, tf.zeros([2]), { w, factor: 2 }, { keep });
      expect(values(last)).toEqual(values(whole));
      expect(values(ys)).toEqual(values(all).slice(first, first + count));
    }
    const keep = { first: tf.scalar(0, 'int32'), count: 6 };
    expect(() => scan(layer, tf.zeros([2]), { w, factor: 2 }, { keep })).toThrow(
      /from 1 to the 5 steps, not 6/,
    );
    expect(() =>
      tf.grad((h) => scan(layer, h, { w, factor: 2 }, { keep: { ...keep, count: 1 } })[1])(tf.zeros([2])),
    ).toThrow(/no gradient/);
  });

  it.each([1, 3])('has the gradients of the loop written out, of %i steps', (length) => {
    const xs = tf.add(tf.range(0, 2 * length), 1);
    const w = tf.reshape(xs, [length, 2]);
    const h = tf.tensor1d([0.5, -1]);
    const [dh, dw] = tf.grads((a: tf.Tensor, b: tf.Tensor) => {
      const [last, ys] = scan(layer, a, { w: b, factor: 3 });
      return tf.add(tf.sum(last), tf.sum(ys));
    })([h, w]);
    // A step's weight counts in every later sum and in the last carry, three times as much each step.
    const weight = (steps: number) =>
      Array.from({ length: steps }, (_, i) => 3 ** (i + 1)).reduce((a, b) => a + b) + 3 ** steps;
    expectClose(values(dh!), [weight(length), weight(length)], 1e-4);
    expectClose(
      values(dw!),
      Array.from({ length }, (_, i) => weight(length - i)).flatMap((each) => [each, each]),
      1e-4,
    );
  });

  it('says what does not fit', () => {
    const x = tf.zeros([2, 2]);
    expect(() => scan((c) => [c, null], tf.scalar(1), null)).toThrow(/pass \{ length \}/);
    expect(() => scan((c) => [c, null], tf.scalar(1), [x, tf.zeros([3])])).toThrow(
      /leading axis 3, expected 2/,
    );
    expect(() => scan((c: tf.Tensor) => [tf.concat([c, c]), null], tf.zeros([1]), x)).toThrow(
      /keeps shapes and dtypes/,
    );
    expect(() => scan((c) => [c, null], tf.scalar(1), tf.scalar(1))).toThrow(/is a scalar/);
  });
});

onPlainBackends('whileLoop', () => {
  it('stops when its condition says', () => {
    const { x, n } = whileLoop(
      (s: { x: tf.Tensor; n: tf.Tensor }): tf.Tensor => tf.less(tf.sum(s.x), 100),
      (s) => ({ x: tf.mul(s.x, 2), n: tf.add(s.n, 1) }),
      { x: tf.tensor1d([1, 2]), n: tf.scalar(0) as tf.Tensor },
    );
    expect([values(x), values(n)]).toEqual([[64, 128], [6]]);
    expect(() =>
      whileLoop(
        (s: tf.Tensor) => tf.sum(s),
        (s) => s,
        tf.scalar(1) as tf.Tensor,
      ),
    ).toThrow(/bool scalar/);
  });
});

onPlainBackends('checkpoint', () => {
  it('changes neither values nor gradients', () => {
    const block = (x: tf.Tensor) => tf.mul(tf.sin(x), x);
    const x = tf.tensor1d([0.3, -2]);
    expect(values(checkpoint(block)(x))).toEqual(values(block(x)));
    const grad = (f: typeof block) => tf.grad((y: tf.Tensor) => tf.sum(f(y)))(x);
    expect(values(grad(checkpoint(block)))).toEqual(values(grad(block)));
  });
});
