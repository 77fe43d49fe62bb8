// @own-process: it measures how XLA starts, which it does once in a process.
import { jit, toBytes } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import { compilationStats, configure } from './index';

/** How often the event loop turns while `work` is under way: a few times where it is blocked in between. */
async function turns<T>(work: () => Promise<T>): Promise<{ value: T; turns: number }> {
  let count = 0;
  let done = false;
  const turn = () => {
    count++;
    if (!done) setImmediate(turn);
  };
  setImmediate(turn);
  const value = await work();
  done = true;
  return { value, turns: count };
}

const MANY = 50;

/** A chain of matrix products: noticeable work to compile and to run. */
const chain = (x: tf.Tensor) => {
  let y = x;
  for (let i = 0; i < 40; i++) y = tf.tanh(tf.matMul(y, tf.add(x, i)));
  return y;
};

it('the event loop lives while XLA starts, compiles, computes and hands over values', async () => {
  configure({ compilationCache: false });
  expect((await turns(() => tf.setBackend('xla'))).turns).toBeGreaterThan(MANY);

  const x = tf.ones([384, 384]);
  const f = jit(chain, { name: 'chain' });
  expect((await turns(() => f.compile(x))).turns).toBeGreaterThan(MANY);
  const { compiled } = compilationStats();

  expect((await turns(() => f(x).data())).turns).toBeGreaterThan(MANY);
  expect((await turns(() => toBytes(f(x)))).turns).toBeGreaterThan(MANY);
  expect(compilationStats().compiled).toBe(compiled);
});
