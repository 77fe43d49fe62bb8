import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { oneDevice } from './devices';

it('batches that cannot be joined leave no tensor', () => {
  const before = tf.memory().numTensors;
  const batch = (rows: number[]) => ({
    latents: tf.ones([2, 3]),
    records: tf.ones(rows),
    last: tf.ones([1]),
  });
  expect(() => oneDevice.join([batch([2, 3]), batch([2, 4])])).toThrow();
  expect(tf.memory().numTensors).toBe(before);
});
