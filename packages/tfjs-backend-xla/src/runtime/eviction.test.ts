import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { compilationStats, configure } from '../index';
import { client } from './client';
import { executable, limitPrograms, warnIfSlow } from './executables';

beforeAll(async () => {
  configure({ compilationCache: false });
  await tf.setBackend('xla');
});
afterAll(() => limitPrograms());

const MEBIBYTES = 2 ** 20;

describe('programs in memory', () => {
  it('are unloaded where eager operations meet new shapes all day, and compiled again when needed', () => {
    limitPrograms({ count: 16, bytes: MEBIBYTES * 64 });
    const first = client().liveExecutables;
    const double = (n: number) => tf.tidy(() => [...tf.mul(tf.range(0, n), 2).dataSync()]);
    const expected = double(3);
    const buffers = client().liveBuffers;
    for (let n = 10; n < 60; n++) double(n);
    expect(client().liveExecutables).toBeLessThanOrEqual(first + 16);
    expect(client().liveBuffers).toBe(buffers);
    const { compiled } = compilationStats();
    expect(double(3)).toEqual(expected);
    expect(compilationStats().compiled).toBeGreaterThan(compiled);
  });

  it('are unloaded where a jitted function gets a new number at every call, without a leak', () => {
    limitPrograms({ count: 16, bytes: MEBIBYTES * 64 });
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const add = jit((x: tf.Tensor, i: number) => tf.add(tf.square(x), i), { name: 'add' });
    const x = tf.tensor1d([1, 2]);
    const at = (i: number) => {
      const y = add(x, i);
      const values = [...y.dataSync()];
      y.dispose();
      return values;
    };
    at(0);
    const [tensors, buffers] = [tf.memory().numTensors, client().liveBuffers];
    for (let i = 1; i < 300; i++) expect(at(i)).toEqual([1 + i, 4 + i]);
    expect(at(0)).toEqual([1, 4]);
    expect([tf.memory().numTensors, client().liveBuffers]).toEqual([tensors, buffers]);
    expect(client().liveExecutables).toBeLessThanOrEqual(17);
    expect(warn.mock.calls.map(([message]) => String(message))).toEqual([
      expect.stringMatching(/^add has been traced for 256 different arguments.*tf\.scalar/),
    ]);
    warn.mockRestore();
  });

  it('are bounded by their bytes too', () => {
    limitPrograms({ count: 1000, bytes: 1 });
    const f = jit((x: tf.Tensor) => tf.sin(x));
    for (const n of [2, 3, 4]) f(tf.ones([n])).dispose();
    expect(client().liveExecutables).toBeLessThanOrEqual(2);
  });

  it('stay while they run', async () => {
    limitPrograms({ count: 1, bytes: MEBIBYTES * 64 });
    const slow = jit((x: tf.Tensor) => {
      let y = x;
      for (let i = 0; i < 40; i++) y = tf.tanh(tf.matMul(y, x));
      return y;
    });
    const x = tf.fill([600, 600], 1e-3);
    const program = executable(slow.lower(x).text, 'slow');
    const y = slow(x);
    expect(program.isRunning).toBe(true);
    const { evicted } = compilationStats();
    executable(jit((z: tf.Tensor) => tf.cos(z)).lower(tf.ones([2])).text, 'other');
    expect(program.isDisposed).toBe(false);
    expect(compilationStats().evicted).toBe(evicted);
    await y.data();
    // XLA says that a run has ended a moment after its values are there.
    await expect.poll(() => program.isRunning, { timeout: 600_000 }).toBe(false);
    executable(jit((z: tf.Tensor) => tf.cos(z)).lower(tf.ones([3])).text, 'third');
    expect(program.isDisposed).toBe(true);
    expect((await slow(x).data()).length).toBe(360_000);
  });

  it('of a function that reads tensors from outside stay traced, so that these may be disposed', () => {
    limitPrograms({ count: 2, bytes: MEBIBYTES * 64 });
    const weights = tf.range(0, 100);
    const f = jit((x: tf.Tensor) => tf.add(x, tf.sum(weights)));
    const run = () => f(tf.scalar(1)).dataSync()[0];
    const first = run();
    weights.dispose();
    for (let n = 1; n < 8; n++) tf.neg(tf.ones([n])).dispose();
    expect(run()).toBe(first);
  });
});

it('a compilation that took long says what makes one short', () => {
  const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  warnIfSlow('step', 29_000, 'a = b');
  warnIfSlow('step', 31_400, '%0 = f\n%1 = g\n');
  expect(warn.mock.calls.map(([message]) => message)).toEqual([
    expect.stringMatching(/^step took 31 s to compile: its program has 2 operations.*scan/),
  ]);
  warn.mockRestore();
});
