/** What the functions of tfjs-jit leave on a backend: their results, and nothing else. */
import '@tensorflow/tfjs-backend-cpu';
import {
  cast,
  checkpoint,
  fromBytes,
  jit,
  random,
  scaledDotProductAttention,
  scan,
  toBytes,
  tree,
  whileLoop,
} from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import './index';

const sum = (x: tf.Tensor) => tf.sum(x) as tf.Scalar;
const double = jit((x: tf.Tensor) => ({ y: tf.mul(x, 2), parts: [tf.neg(x)] }));
const doubleGrad = tf.grad((x: tf.Tensor) => sum(double(x).y));

interface Given {
  readonly x: tf.Tensor;
  readonly q: tf.Tensor4D;
  readonly key: tf.Tensor;
  readonly counter: tf.Tensor;
  readonly rows: tf.Tensor;
}

const halves = (carry: tf.Tensor, row: tf.Tensor) => {
  const next = tf.tidy(() => tf.add(tf.mul(carry, 0.5), row));
  return [next, tf.neg(next)] as [tf.Tensor, tf.Tensor];
};

/** Functions whose own operations leave nothing: what else is there comes from what is called. */
const CASES: Record<string, (given: Given) => unknown> = {
  'random.key': () => random.key(3),
  'random.split': ({ key }) => random.split(key, 3),
  'random.foldIn of a number': ({ key }) => random.foldIn(key, 7),
  'random.foldIn of a tensor': ({ key, counter }) => random.foldIn(key, counter),
  'random.normal': ({ key }) => random.normal(key, [2, 3]),
  'random.uniform': ({ key }) => random.uniform(key, [2, 3]),
  cast: ({ x }) => cast(x, 'bfloat16'),
  'toBytes, fromBytes': async ({ x }) => fromBytes(await toBytes(x), x.shape, 'float32'),
  scaledDotProductAttention: ({ q }) => scaledDotProductAttention(q, q, q),
  scan: ({ x, rows }) => scan(halves, x, rows),
  whileLoop: ({ x }) =>
    whileLoop(
      (y: tf.Tensor) => tf.less(tf.sum(y), 100),
      (y: tf.Tensor) => tf.add(y, 1),
      x,
    ),
  checkpoint: ({ x }) => checkpoint((y: tf.Tensor) => tf.square(y))(x),
  jit: ({ x }) => double(x),
  'the gradient of a jitted function': ({ x }) => doubleGrad(x),
  'tree.map': ({ x }) => tree.map({ x, list: [x] }, (each) => tf.neg(each)),
};

describe.each(['cpu', 'xla'])('on %s', (backend) => {
  beforeAll(async () => {
    expect(await tf.setBackend(backend)).toBe(true);
  });
  afterAll(() => tf.setBackend('cpu'));

  it.each(Object.keys(CASES))('%s leaves its result alone', async (name) => {
    const given: Given = {
      x: tf.tensor2d([1, 2, 3, 4], [2, 2]),
      q: tf.ones([1, 1, 2, 2]),
      key: random.key(1),
      counter: tf.scalar(7, 'int32'),
      rows: tf.ones([3, 2, 2]),
    };
    tree.dispose(await CASES[name]!(given), given); // what is made once, as a jitted function's constants
    const before = tf.memory().numTensors;
    const result = await CASES[name]!(given);
    const results = new Set(tree.leaves(result).filter((tensor) => !Object.values(given).includes(tensor)));
    expect(results.size).toBeGreaterThan(0);
    expect(tf.memory().numTensors - before).toBe(results.size);
    tree.dispose(result, given);
    tree.dispose({ ...given });
  });
});
