import './index';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(async () => {
  await tf.setBackend('xla');
});

describe('string tensors', () => {
  it('stay on the host', () => {
    const x = tf.tensor2d(
      [
        ['a', 'bb'],
        ['c', 'd'],
      ],
      undefined,
      'string',
    );
    expect([...tf.concat([x, x]).dataSync()]).toEqual(['a', 'bb', 'c', 'd', 'a', 'bb', 'c', 'd']);
    expect([...tf.equal(x, tf.tensor1d(['a', 'd'], 'string')).dataSync()]).toEqual([1, 0, 0, 1]);
    expect([...tf.slice(x, [1, 0], [1, 2]).dataSync()]).toEqual(['c', 'd']);
    expect([...tf.stack([x, x]).dataSync()]).toHaveLength(8);
  });

  it('cannot be compiled', () => {
    const x = tf.tensor1d(['a'], 'string');
    expect(() => jit((y: tf.Tensor) => tf.concat([y, y]))(x)).toThrow(/string tensors cannot/);
  });
});

describe('other dtypes', () => {
  it('read back as tfjs gives them', () => {
    expect(tf.greater(tf.tensor1d([1, 3]), 2).dataSync()).toEqual(new Uint8Array([0, 1]));
    expect(tf.add(tf.tensor1d([1, 3], 'int32'), tf.scalar(1, 'int32')).dataSync()).toEqual(
      new Int32Array([2, 4]),
    );
    const z = tf.complex(tf.tensor1d([1, 2]), tf.tensor1d([3, 4]));
    expect([...tf.mul(z, z).dataSync()]).toEqual([-8, 6, -12, 16]);
    expect([...tf.imag(jit((x: tf.Tensor) => tf.add(x, x))(z)).dataSync()]).toEqual([6, 8]);
  });

  it('keep NaN, infinities, zeros and empty shapes', () => {
    const odd = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 1e-42];
    const back = tf.add(tf.tensor1d(odd), 0).dataSync();
    expect(back[0]).toBeNaN();
    expect(back[1]).toBe(Number.POSITIVE_INFINITY);
    expect(jit(() => tf.tensor1d(odd))().dataSync()[3]).toBe(-0);
    expect(tf.add(tf.zeros([0, 3]), 1).shape).toEqual([0, 3]);
    expect(jit((x: tf.Tensor) => tf.add(x, 1))(tf.zeros([2, 0])).dataSync()).toHaveLength(0);
  });
});
