import { cast, jit, random, storageOf } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { compilationStats } from './index';

beforeAll(async () => {
  expect(await tf.setBackend('xla')).toBe(true);
});

const values = (x: tf.Tensor) => [...x.dataSync()];

describe('jit', () => {
  it('traces once a signature', () => {
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
    f({ w: cast(w, 'bfloat16'), deep: [w] }, 2);
    expect(traces).toBe(4);
  });

  it('gives the same without blocking, several calls at a time, whose arguments may go', async () => {
    const f = jit((x: tf.Tensor, by: number) => ({ y: tf.mul(x, by), by }), { name: 'scaled' });
    const [tensors, buffers] = [tf.memory().numTensors, tf.memory().numDataBuffers];
    const calls = [1, 2, 3].map((value) => {
      const x = tf.tensor1d([value, -value]);
      const result = f.async(x, 10);
      x.dispose();
      return result;
    });
    const results = await Promise.all(calls);
    expect(results.map(({ y, by }) => [...values(y), by])).toEqual(
      [1, 2, 3].map((v) => [10 * v, -10 * v, 10]),
    );
    tf.dispose(results);
    expect([tf.memory().numTensors, tf.memory().numDataBuffers]).toEqual([tensors, buffers]);
  });

  it('takes the memory of donated arguments without blocking, and says who has it', async () => {
    const f = jit((x: tf.Tensor) => tf.add(x, 1), { donate: [0], name: 'counts' });
    const x = tf.tensor1d([1, 2]);
    const result = f.async(x);
    expect(() => x.dataSync()).toThrow('was donated to counts');
    expect(values(await result)).toEqual([2, 3]);
    await expect(f.async(x)).rejects.toThrow('was donated to counts');
  });

  it('leaves no tensors behind', () => {
    const x = tf.tensor1d([1, 2, 3]);
    const f = jit((y: tf.Tensor) => tf.mul(tf.add(y, 1), tf.add(y, 2)));
    f(x).dispose();
    const before = tf.memory().numTensors;
    const data = tf.memory().numDataBuffers;
    f(x).dispose();
    jit((y: tf.Tensor) => tf.sub(tf.exp(y), y))(x).dispose();
    expect(tf.memory().numTensors).toBe(before);
    expect(tf.memory().numDataBuffers).toBe(data);
  });

  it('takes tensors from outside as parameters, and reads variables at each call', () => {
    const big = tf.tensor1d(Array.from({ length: 100 }, (_, i) => i));
    const variable = tf.variable(tf.tensor1d([1]));
    const f = jit((x: tf.Tensor) => tf.add(tf.mul(big, x), variable));
    const x = tf.scalar(2);
    expect(f.lower(x).text).toMatch(
      /main\(%arg0: tensor<f32>, %arg1: tensor<100xf32>, %arg2: tensor<1xf32>\)/,
    );
    expect(values(f(x)).slice(0, 3)).toEqual([1, 3, 5]);
    variable.assign(tf.tensor1d([10]));
    big.dispose();
    expect(values(f(x)).slice(0, 3)).toEqual([10, 12, 14]);
    variable.dispose();
  });

  it('becomes part of the jitted function around it', () => {
    const inner = jit((x: tf.Tensor) => tf.add(x, 1));
    const outer = jit((x: tf.Tensor) => inner(inner(x)));
    expect(values(outer(tf.tensor1d([1])))).toEqual([3]);
    expect(outer.lower(tf.tensor1d([1])).text.match(/stablehlo.add/g)).toHaveLength(2);
  });

  it('donates arguments', () => {
    const step = jit((x: tf.Tensor, y: tf.Tensor) => tf.add(x, y), { donate: [0], name: 'step' });
    const x = tf.tensor1d([1, 2, 3]);
    const y = tf.tensor1d([1, 1, 1]);
    expect(step.lower(x, y).text).toContain('tf.aliasing_output = 0 : i32');
    expect(values(step(x, y))).toEqual([2, 3, 4]);
    expect(values(y)).toEqual([1, 1, 1]);
    expect(() => x.dataSync()).toThrow(/was donated to step/);
    expect(() => step(x, y)).toThrow(/was donated to step/);
    x.dispose();
  });

  it('refuses what cannot be compiled', () => {
    const x = tf.tensor1d([1, 2]);
    const bad = (f: (x: tf.Tensor) => unknown) => () => jit(f as (x: tf.Tensor) => tf.Tensor)(x);
    expect(bad((y) => tf.tensor(y.dataSync()))).toThrow(/reading the values/);
    expect(bad((y) => tf.add(y, tf.randomNormal([2])))).toThrow(/random.normal/);
    expect(bad(async (y) => y)).toThrow(/async/);
    expect(bad(() => new Date())).toThrow(/instance of Date/);
    expect(bad((y) => tf.variable(tf.add(y, 1)))).toThrow(/return the new value/);
    let leaked = x;
    jit((y: tf.Tensor) => {
      leaked = tf.keep(tf.add(y, 1));
      return y;
    })(x);
    expect(() => tf.add(leaked, 1)).toThrow(/made inside a jitted function/);
    leaked.dispose();
    const gone = tf.tensor1d([1]);
    gone.dispose();
    expect(() => jit((y: tf.Tensor) => tf.add(y, 1))(gone)).toThrow(/disposed/);
    expect(() => tf.add(gone, 1)).toThrow(/disposed/);
    // After all these errors tracing starts afresh.
    expect(values(jit((y: tf.Tensor) => tf.add(y, 1))(x))).toEqual([2, 3]);
    expect(values(tf.add(x, 1))).toEqual([2, 3]);
  });

  it('compiles ahead, off the event loop', async () => {
    const f = jit((x: tf.Tensor) => tf.sin(tf.cos(tf.add(x, 0.123))));
    const x = tf.tensor1d([1, 2, 3, 4, 5]);
    await f.compile(x);
    const { compiled } = compilationStats();
    f(x);
    expect(compilationStats().compiled).toBe(compiled);
  });
});

describe('storage', () => {
  it('counts bytes of low precision and reads it back as float32', () => {
    const x = tf.tensor1d([1, 2.001, -3.5, 65536]);
    const before = tf.memory().numBytes;
    const y = cast(x, 'bfloat16');
    expect(tf.memory().numBytes - before).toBe(8);
    expect(y.dtype).toBe('float32');
    expect(storageOf(y)).toBe('bfloat16');
    expect(values(y)).toEqual([1, 2, -3.5, 65536]);
    expect(values(cast(x, 'float16'))[3]).toBe(Number.POSITIVE_INFINITY);
    expect(storageOf(tf.add(y, y))).toBe('bfloat16');
    expect(storageOf(tf.add(y, x))).toBe('float32');
  });
});

describe('random on XLA', () => {
  it('keeps a derived key out of the loops that draw with it', () => {
    const draw = jit((key: tf.Tensor) => random.normal(random.foldIn(random.foldIn(key, 1), 2), [64, 64]));
    expect(draw.lower(random.key(3)).text.match(/optimization_barrier/g)).toHaveLength(2);
  });

  it('gives the numbers of other backends, inside jit too', async () => {
    const draw = (seed: number) => {
      const [a, b] = random.split(random.foldIn(random.key(seed), 3));
      return [random.uniform(a!, [3, 5]), random.normal(b!, [700])] as const;
    };
    const xla = draw(11).map(values);
    const inside = jit(() => [...draw(11)])().map(values);
    await tf.setBackend('cpu');
    const [uniform, normal] = draw(11).map(values);
    await tf.setBackend('xla');
    for (const [u, n] of [xla, inside]) {
      expect(u).toEqual(uniform);
      n!.forEach((x, i) => {
        expect(Math.abs(x - normal![i]!)).toBeLessThan(1e-6 * Math.max(1, Math.abs(x)));
      });
    }
  });
});
