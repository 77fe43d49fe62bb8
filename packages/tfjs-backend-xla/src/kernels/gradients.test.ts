import '../index';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { cases, uncovered } from './gradient-cases.testing';

beforeAll(async () => {
  expect(await tf.setBackend('xla')).toBe(true);
});

/** A small generator, so that a failing seed can be run again. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const STEP = 1e-2;

/** A shuffled grid: no two values, and no value and zero, are closer than several steps. */
function grid(size: number, next: () => number, above: boolean): Float32Array {
  const values = Array.from({ length: size }, (_, i) => (i + 0.5) / size);
  for (let i = size - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [values[i], values[j]] = [values[j]!, values[i]!];
  }
  return Float32Array.from(values, (v) =>
    above ? 0.15 + 0.7 * v : (2 * v - 1) * Math.max(1.5, size * 0.03),
  );
}

const numbers = (xs: readonly tf.Tensor[]) => xs.flatMap((x) => [...x.dataSync()]);

describe('gradients through jit, eager and by finite differences', () => {
  it.each(cases)('$name', ({ fn, shapes, positive: above = false, notDerivative }) => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 31 - 1 }), (seed) => {
        tf.tidy(() => {
          const next = generator(seed);
          const xs = shapes.map((shape) => tf.tensor(grid(tf.util.sizeFromShape(shape), next, above), shape));
          const weights = tf.tidy(() => {
            const y = fn(...xs);
            return tf.tensor(
              Float32Array.from({ length: y.size }, () => next() - 0.5),
              y.shape,
            );
          });
          const loss = (...at: tf.Tensor[]) => tf.sum(tf.mul(fn(...at), weights)) as tf.Scalar;
          const eager = numbers(tf.grads(loss)(xs));
          const jitted = numbers(jit((...at: tf.Tensor[]) => tf.grads(loss)(at))(...xs) as tf.Tensor[]);
          const scale = Math.max(1, ...eager.map(Math.abs));
          for (const [i, g] of eager.entries()) expect(Math.abs(g - jitted[i]!)).toBeLessThan(1e-5 * scale);

          if (notDerivative !== undefined) return;
          const direction = xs.map((x) =>
            tf.tensor(
              Float32Array.from({ length: x.size }, () => 2 * next() - 1),
              x.shape,
            ),
          );
          const moved = (by: number) =>
            loss(...xs.map((x, i) => tf.add(x, tf.mul(direction[i]!, by)))).dataSync()[0]!;
          const slope = (moved(STEP) - moved(-STEP)) / (2 * STEP);
          const along = numbers(direction).reduce((sum, d, i) => sum + d * eager[i]!, 0);
          expect(Math.abs(slope - along)).toBeLessThan(2e-2 * Math.max(1, Math.abs(along), scale));
        });
      }),
      { numRuns: 2 },
    );
  });

  it('cover all that tfjs-core registers, without the chained methods that some call', () => {
    // Programs that import '@tensorflow/tfjs-core' have no x.reshape(…); so nothing here may need it.
    for (const method of ['add', 'reshape', 'slice', 'split'])
      expect(method in tf.Tensor.prototype).toBe(false);
    const kernels = Object.entries(tf).flatMap(([key, value]) => (key === value ? [key] : []));
    const registered = kernels.filter((name) => tf.getGradient(name) !== undefined);
    expect(registered.length).toBeGreaterThan(100);
    const ran = new Set<string>();
    const originals = registered.map((name) => {
      const config = tf.getGradient(name)!;
      const { gradFunc } = config;
      config.gradFunc = (...args) => {
        ran.add(name);
        return gradFunc(...args);
      };
      return () => {
        config.gradFunc = gradFunc;
      };
    });
    try {
      for (const { fn, shapes, positive = false } of cases) {
        tf.tidy(() => {
          const xs = shapes.map((shape) =>
            tf.tensor(grid(tf.util.sizeFromShape(shape), generator(1), positive), shape),
          );
          tf.grads((...at: tf.Tensor[]) => tf.sum(fn(...at)))(xs);
        });
      }
    } finally {
      for (const restore of originals) restore();
    }
    const missing = registered.filter((name) => !ran.has(name));
    expect(missing.sort()).toEqual(Object.keys(uncovered).sort());
  });
});
