import '../index';
import type { PjrtBuffer } from '@flow-grpo/pjrt';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Execution, observed, observedAsync, observeExecutions } from './observe';

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

describe('a program that is handed over while the host is held up', () => {
  /** A buffer that is ready when the event loop gets to it: what ends while the host waits is seen late. */
  const late = () => [[{ ready: async () => performance.now() } as unknown as PjrtBuffer]];
  const wait = (ms: number) => {
    for (const end = performance.now() + ms; performance.now() < end; );
  };

  it('says nothing of those that began while it was handed over on another thread', async () => {
    const seen: Execution[] = [];
    const stop = observeExecutions((execution) => seen.push(execution));
    const rollout = observedAsync('rollout', async () => {
      await new Promise((resolve) => setTimeout(resolve));
      return late();
    });
    const END = performance.now() + 1e6;
    let end = () => {};
    const ready = new Promise<number>((resolve) => {
      end = () => resolve(END);
    });
    const scorer = [[{ ready: () => ready } as unknown as PjrtBuffer]];
    observed(
      'scorer',
      () => scorer,
      () => true,
    );
    wait(10);
    await rollout;
    end();
    stop();
    expect(seen.map(({ name }) => name)).toEqual(['scorer', 'rollout']);
    expect(await seen[0]!.done).toBe(END);
  });

  it.each([
    ['ends those before it, where the device takes launches ahead', true],
    ['says nothing of them elsewhere', false],
  ])('%s', async (_, queued) => {
    const seen: Execution[] = [];
    const stop = observeExecutions((execution) => seen.push(execution));
    let read = () => {};
    const gate = new Promise<void>((resolve) => {
      read = resolve;
    });
    const slow = [[{ ready: () => gate.then(() => performance.now()) } as unknown as PjrtBuffer]];
    observed(
      'short',
      () => slow,
      () => queued,
    );
    observed(
      'long',
      () => {
        wait(30);
        return late();
      },
      () => queued,
    );
    stop();
    read();
    const [short, long] = seen as [Execution, Execution];
    if (queued) expect(await short.done).toBeLessThanOrEqual(long.start);
    else expect(await short.done).toBeGreaterThanOrEqual(long.dispatched);
    expect(await short.done).toBeGreaterThanOrEqual(short.dispatched);
    expect(await long.done).toBeGreaterThanOrEqual(long.dispatched);
  });
});
