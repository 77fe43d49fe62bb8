import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { jit } from './index';

beforeAll(async () => {
  expect(await tf.setBackend('xla')).toBe(true);
});

const values = (x: tf.Tensor) => [...x.dataSync()];

describe('jit', () => {
  it('runs pytrees through one program a signature', () => {
    let traces = 0;
    const f = jit((p: { w: tf.Tensor; deep: [tf.Tensor] }, scale: number) => {
      traces++;
      return { sum: tf.add(p.w, tf.mul(p.deep[0], scale)), scale };
    });
    const w = tf.tensor1d([1, 2]);
    const out = f({ w, deep: [tf.tensor1d([3, 4])] }, 10);
    expect(values(out.sum)).toEqual([31, 42]);
    expect(out.scale).toBe(10);
    f({ w, deep: [w] }, 10);
    expect(traces).toBe(1);
    expect(values(f({ w, deep: [w] }, 2).sum)).toEqual([3, 6]);
    f({ w: tf.scalar(1), deep: [tf.scalar(1)] }, 2);
    expect(traces).toBe(3);
  });
});
