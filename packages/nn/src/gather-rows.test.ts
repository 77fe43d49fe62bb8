import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import { describe, expect, it } from 'vitest';
import { gatherRows } from './gather-rows';

describe.each(['cpu', 'wasm'])('rows by index on %s', (backend) => {
  it('are those of tf.gather, and their gradients add up where rows repeat', async () => {
    expect(await tf.setBackend(backend)).toBe(true);
    const table = tf.tensor3d([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [3, 2, 2]);
    const index = tf.tensor1d([2, 0, 2], 'int32');
    const weights = tf.tensor3d([1, 1, 1, 1, 2, 2, 2, 2, 10, 20, 30, 40], [3, 2, 2]);
    expect(Array.from(gatherRows(table, index).dataSync())).toEqual(
      Array.from(tf.gather(table, index).dataSync()),
    );
    const gradient = tf.grad((x) => tf.sum(tf.mul(gatherRows(x, index), weights)))(table);
    expect(gradient.shape).toEqual([3, 2, 2]);
    expect(Array.from(gradient.dataSync())).toEqual([2, 2, 2, 2, 0, 0, 0, 0, 11, 21, 31, 41]);
  });

  it('are all the same of a table of one row', async () => {
    expect(await tf.setBackend(backend)).toBe(true);
    const table = tf.tensor3d([1, 2, 3, 4], [1, 2, 2]);
    const index = tf.tensor1d([0, 0], 'int32');
    expect(Array.from(gatherRows(table, index).dataSync())).toEqual([1, 2, 3, 4, 1, 2, 3, 4]);
    const weights = tf.tensor3d([1, 2, 3, 4, 10, 20, 30, 40], [2, 2, 2]);
    const gradient = tf.grad((x) => tf.sum(tf.mul(gatherRows(x, index), weights)))(table);
    expect(Array.from(gradient.dataSync())).toEqual([11, 22, 33, 44]);
  });
});
