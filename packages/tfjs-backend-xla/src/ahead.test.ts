import {
  compileAhead,
  compileSeconds,
  jit,
  mesh,
  observeCompilations,
  shard,
  shardingOf,
} from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { compilationStats, configure } from './index';

beforeAll(async () => {
  configure({ devices: 2, compilationCache: false });
  await tf.setBackend('xla');
});

const square = (name: string) => jit((x: tf.Tensor2D) => tf.matMul(x, x), { name });

describe('compileAhead', () => {
  it('compiles functions and operations, computes nothing, and leaves nothing but programs', async () => {
    const [first, second] = [square('first'), jit((x: tf.Tensor) => tf.sum(x, 0), { donate: [0] })];
    const x = tf.ones<tf.Rank.R2>([31, 31]);
    const [tensors, { compiled }] = [tf.memory().numTensors, compilationStats()];
    await compileAhead(() => {
      const y = first(x);
      expect(() => y.dataSync()).toThrow(/no values: it was made inside of compileAhead/);
      return second(tf.neg(y));
    });
    expect(tf.memory().numTensors).toBe(tensors);
    expect(compilationStats().compiled).toBe(compiled + 3);
    const y = second(tf.neg(first(x)));
    expect(y.dataSync()[0]).toBe(-31 * 31);
    expect(compilationStats().compiled).toBe(compiled + 3);
  });

  it('knows how results lie on several devices', async () => {
    const m = mesh({ data: 2 });
    const double = jit((x: tf.Tensor) => tf.mul(x, 2), { name: 'double' });
    const half = jit((x: tf.Tensor) => tf.div(x, 2), { name: 'half' });
    const rows = tf.ones([6, 5]);
    const run = (x: tf.Tensor) => half(double(shard(x, m, ['data'])));
    await compileAhead(() => {
      const result = run(rows);
      expect(shardingOf(result)!.spec).toEqual(['data', null]);
      return result;
    });
    const before = compilationStats().compiled;
    expect(run(rows).dataSync()[0]).toBe(1);
    // Cutting the rows up for the devices is no part of the plan.
    expect(compilationStats().compiled - before).toBeLessThanOrEqual(2);
  });

  it('tells which programs are being made, compiles several at a time, and counts what calls wait', async () => {
    const seen: string[][] = [];
    const stop = observeCompilations((names) => void seen.push([...names]));
    const functions = ['a', 'b'].map(square);
    const x = tf.zeros<tf.Rank.R2>([17, 17]);
    const ready = compileAhead(() => functions.map((f) => f(x)));
    expect(seen).toEqual([['a'], ['a', 'b']]);
    await ready;
    expect(seen.at(-1)).toEqual([]);
    const waited = compileSeconds();
    tf.dispose(functions.map((f) => f(x)));
    expect(compileSeconds()).toBe(waited);
    tf.dispose(square('c')(x));
    expect(compileSeconds()).toBeGreaterThan(waited);
    expect(seen.slice(-2)).toEqual([['c'], []]);
    stop();
    tf.dispose(square('d')(x));
    expect(seen.at(-2)).toEqual(['c']);
  });

  it('begins no more programs once it is aborted, but for others who want them', async () => {
    const names = Array.from({ length: 24 }, (_, i) => `wanted${i}`);
    // Each a program of its own, larger than the last.
    const functions = names.map((name, i) => jit((x: tf.Tensor) => tf.sum(tf.tile(x, [i + 2])), { name }));
    const x = tf.ones([7]);
    const before = compilationStats().compiled;
    const seen = new Set<string>();
    let ended = () => {};
    const all = new Promise<void>((resolve) => {
      ended = resolve;
    });
    const stop = observeCompilations((running) => {
      for (const name of running) seen.add(name);
      if (running.length === 0) ended();
    });
    const controller = new AbortController();
    const first = compileAhead(() => functions.map((f) => f(x)), { signal: controller.signal });
    const second = compileAhead(() => functions.at(-1)!(x));
    controller.abort(new Error('enough'));
    await expect(first).rejects.toThrow('enough');
    await second;
    await all;
    stop();
    expect([...seen]).toEqual(names);
    // Those that were under way: as many as are compiled at a time.
    expect(compilationStats().compiled - before).toBeLessThanOrEqual(8 + 1);
    const compiled = compilationStats().compiled;
    expect(functions.at(-1)!(x).dataSync()[0]).toBe(25 * 7);
    expect(compilationStats().compiled).toBe(compiled);
    expect(functions.at(-2)!(x).dataSync()[0]).toBe(24 * 7);
  });

  it('traces gradients of sums and means without an array of their size on the host', async () => {
    const f = jit((x: tf.Tensor) => tf.grad((y) => tf.add(tf.sum(y), tf.sum(tf.mean(y, 0))))(x));
    await compileAhead(() => {
      const x = tf.fill([100_000, 100_000], 2); // larger than any typed array
      expect(f.lower(x).text).toContain('tensor<100000x100000xf32>');
      return x;
    });
  });

  it('rejects with the error of a compilation, and throws what the function throws', async () => {
    const failing = () => {
      square('fine')(tf.zeros([7, 7]));
      throw new Error('mine');
    };
    expect(() => compileAhead(failing)).toThrow('mine');
    expect(() => compileAhead(() => void compileAhead(() => {}))).toThrow(/inside of compileAhead/);
    await compileAhead(() => {});
  });
});
