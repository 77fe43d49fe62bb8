import './index';
import { expectClose } from '@flow-grpo/test-support';
import { cast, jit, random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(async () => {
  await tf.setBackend('xla');
});

const draw = (seed: number, shape: number[]) => random.normal(random.key(seed), shape);

it.each(['bfloat16', 'float16'] as const)('that are small reach %s products beside wide ones', (storage) => {
  const x = cast(tf.ones([2, 3]), storage);
  const bias = tf.zeros([2]);
  const gradient = tf.grad((w: tf.Tensor) => {
    const y = tf.add(tf.matMul(x, cast(w, storage)), bias);
    return tf.sum(tf.mul(y, 1e-8)); // below what float16 has
  })(tf.ones([3, 2]));
  expectClose(
    gradient.dataSync().map((value) => 1e8 * value),
    [2, 2, 2, 2, 2, 2],
    0.02,
  );
});

describe('gradients of a jitted function from outside', () => {
  const model = (p: { w: tf.Tensor; b: tf.Tensor }, x: tf.Tensor, slope: number) => ({
    y: tf.tanh(tf.add(tf.matMul(x, p.w), p.b)),
    parts: [tf.mul(p.b, slope)],
  });
  const loss = (f: typeof model) => (w: tf.Tensor, b: tf.Tensor, x: tf.Tensor) => {
    const { y, parts } = f({ w, b }, tf.mul(x, 2), 3);
    return tf.add(tf.sum(tf.square(y)), tf.sum(parts[0]!)) as tf.Scalar;
  };
  const inputs = () => [draw(1, [3, 2]), draw(2, [2]), draw(3, [4, 3])];

  it('agree with those of the plain one', () => {
    const jitted = jit(model);
    const plain = tf.grads(loss(model) as never)(inputs());
    for (let repeat = 0; repeat < 2; repeat++) {
      tf.grads(loss(jitted) as never)(inputs()).forEach((grad, i) => {
        expectClose(grad.dataSync(), plain[i]!.dataSync(), 1e-4);
      });
    }
  });

  it('can be taken twice', () => {
    const cube = jit((x: tf.Tensor) => tf.mul(tf.mul(x, x), x));
    const second = tf.grad((x: tf.Tensor) => tf.grad((y: tf.Tensor) => tf.sum(cube(y)))(x));
    expectClose(second(tf.tensor1d([1, 2])).dataSync(), [6, 12], 1e-4);
  });

  it('do not use up what is donated', () => {
    const f = jit((x: tf.Tensor) => tf.square(x), { donate: [0] });
    const x = tf.tensor1d([3]);
    expect(
      tf
        .grad((y: tf.Tensor) => tf.sum(f(y)))(x)
        .dataSync()[0],
    ).toBe(6);
    expect(x.dataSync()[0]).toBe(3);
  });

  it('leave no tensors behind', () => {
    const f = jit((x: tf.Tensor) => tf.exp(x));
    const g = tf.grad((y: tf.Tensor) => tf.sum(f(y)));
    const x = tf.tensor1d([1, 2]);
    g(x).dispose();
    const before = tf.memory().numTensors;
    g(x).dispose();
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('an optimizer of tfjs-core', () => {
  it('trains with a jitted loss', () => {
    const w = tf.variable(tf.tensor1d([0, 0]));
    const x = draw(4, [32, 2]);
    const target = tf.dot(x, tf.tensor1d([1, -2]));
    const error = jit((v: tf.Tensor) => tf.mean(tf.squaredDifference(tf.dot(x, v), target)) as tf.Scalar);
    const optimizer = tf.train.sgd(0.2);
    for (let i = 0; i < 60; i++) optimizer.minimize(() => error(w));
    expectClose(w.dataSync(), [1, -2], 1e-2);
    optimizer.dispose();
    w.dispose();
  });
});
