import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, it } from 'vitest';
import '../index';
import { jit } from '../jit';
import { type Execution, observeExecutions } from './observe';

beforeAll(() => tf.setBackend('xla'));

it('tells of jitted functions and single kernels by name, in order, until it is told to stop', async () => {
  const square = jit((x: tf.Tensor2D) => tf.matMul(x, x), { name: 'square' });
  const x = tf.ones<tf.Rank.R2>([256, 256]);
  square(x).dispose(); // compiled before
  const seen: Execution[] = [];
  const stop = observeExecutions((execution) => seen.push(execution));
  const results = [square(x), tf.neg(x), square(x)];
  stop();
  square(x).dispose();
  expect(seen.map(({ name }) => name)).toEqual(['square', 'Neg', 'square']);
  const done = await Promise.all(seen.map((execution) => execution.done));
  for (const [i, { start, dispatched }] of seen.entries()) {
    expect(dispatched).toBeGreaterThanOrEqual(start);
    expect(done[i]).toBeGreaterThanOrEqual(dispatched);
  }
  tf.dispose([x, ...results]);
});

it('ends a program whose result is gone before it is done', async () => {
  const seen: Execution[] = [];
  const stop = observeExecutions((execution) => seen.push(execution));
  tf.tidy(() => void tf.neg(tf.ones([8])));
  stop();
  for (const { done } of seen) expect(await done).toBeGreaterThan(0);
  expect(seen.length).toBeGreaterThan(0);
});
