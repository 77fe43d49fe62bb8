import { expectClose } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { jit } from './jit';
import { onPlainBackends } from './testing/backends';

onPlainBackends('jit', () => {
  it('is the function in a tidy', async () => {
    let runs = 0;
    const f = jit((p: { x: tf.Tensor }, factor: number) => {
      runs++;
      return { y: tf.mul(tf.add(p.x, 1), factor), factor };
    });
    const x = tf.tensor1d([1, 2]);
    const before = tf.memory().numTensors;
    const { y, factor } = f({ x }, 10);
    expect([[...y.dataSync()], factor]).toEqual([[20, 30], 10]);
    const again = await f.async({ x }, 10);
    expect([...again.y.dataSync()]).toEqual([20, 30]);
    expect(runs).toBe(2);
    tf.dispose([y, again]);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('passes gradients on, and leaves donated arguments as they are', () => {
    const f = jit((x: tf.Tensor) => tf.square(x), { donate: [0] });
    const x = tf.tensor1d([3]);
    expectClose(
      tf
        .grad((z: tf.Tensor) => tf.sum(f(z)))(x)
        .dataSync(),
      [6],
      1e-6,
    );
    f(x);
    expect(x.dataSync()[0]).toBe(3);
  });

  it('compiles nothing ahead, and says that lower needs a compiler', async () => {
    const f = jit((x: tf.Tensor) => tf.add(x, 1), { name: 'step' });
    await f.compile(tf.scalar(1));
    expect(() => f.lower(tf.scalar(1))).toThrow(/step\.lower\(\) needs a backend that compiles/);
    expect(() => jit((x: tf.Tensor) => x, { donate: [0.5] })).toThrow(/cannot donate argument 0.5/);
  });
});
