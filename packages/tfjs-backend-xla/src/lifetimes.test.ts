import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { jit } from './index';
import { client } from './runtime/client';

beforeAll(async () => {
  await tf.setBackend('xla');
});

describe('memory', () => {
  it('is flat over many dispatches and training steps', () => {
    const step = jit(
      (w: tf.Tensor, x: tf.Tensor) => {
        const { value, grads } = tf.valueAndGrads(
          (v: tf.Tensor) => tf.mean(tf.square(tf.matMul(x, v))) as tf.Scalar,
        )([w]);
        return [tf.sub(w, tf.mul(grads[0]!, 0.01)), value] as [tf.Tensor, tf.Tensor];
      },
      { donate: [0] },
    );
    const x = tf.ones([4, 3]);
    let w: tf.Tensor = tf.ones([3, 2]);
    const run = (steps: number) => {
      for (let i = 0; i < steps; i++) {
        const [next, loss] = step(w, x);
        tf.dispose([w, loss]);
        w = next;
        tf.tidy(() => {
          tf.add(tf.mul(w, 2), 1);
        });
      }
    };
    run(20);
    const tensors = tf.memory().numTensors;
    const buffers = client().liveBuffers;
    const before = process.memoryUsage().rss;
    run(1000);
    w.dataSync();
    expect(tf.memory().numTensors).toBe(tensors);
    expect(client().liveBuffers).toBe(buffers);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
  });

  it('is freed by dispose', () => {
    const x = tf.ones([1000]);
    const before = client().liveBuffers;
    const y = tf.add(x, 1);
    const z = tf.reshape(y, [10, 100]);
    y.dispose();
    expect(z.dataSync()[0]).toBe(2);
    z.dispose();
    expect(client().liveBuffers).toBeLessThanOrEqual(before + 1); // x itself was uploaded
  });
});

describe('moving between backends', () => {
  it('takes tensors along, both ways', async () => {
    const x = tf.tensor1d([1, 2, 3]);
    const y = tf.add(x, 1);
    await tf.setBackend('cpu');
    const z = tf.mul(y, x);
    expect([...z.dataSync()]).toEqual([2, 6, 12]);
    await tf.setBackend('xla');
    expect([...tf.add(z, y).dataSync()]).toEqual([4, 9, 16]);
  });
});

describe('the cost of a call', () => {
  it('is small with 1,000 parameters', () => {
    const params = Object.fromEntries(
      Array.from({ length: 1000 }, (_, i) => [`layer.${i}.weight`, tf.ones([2, 2])]),
    );
    const f = jit((p: Record<string, tf.Tensor>, x: tf.Tensor) => tf.add(p['layer.7.weight']!, x));
    const x = tf.ones([2, 2]);
    for (let i = 0; i < 50; i++) f(params, x).dispose();
    const times: number[] = [];
    for (let i = 0; i < 50; i++) {
      const start = performance.now();
      f(params, x).dispose();
      times.push(performance.now() - start);
    }
    times.sort((a, b) => a - b);
    console.info(`1,000 parameters: fastest call ${times[0]!.toFixed(2)} ms`);
    expect(times[0]).toBeLessThan(3);
  });
});
