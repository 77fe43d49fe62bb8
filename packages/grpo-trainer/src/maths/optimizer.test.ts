import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { adamWInit, adamWScalars, adamWUpdate, clipByGlobalNorm } from './adamw';
import { learningRateAt } from './learning-rate';

const options = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1 };

describe('AdamW', () => {
  it('follows the published recursion in double precision', () => {
    let p = 1.5;
    let m = 0;
    let v = 0;
    let params = { w: tf.tensor1d([p]) } as Record<string, tf.Tensor>;
    let state = adamWInit(params);
    for (let step = 1; step <= 20; step++) {
      const gradient = Math.sin(step) + 0.3;
      const learningRate = 0.05 / step;
      p *= 1 - learningRate * options.weightDecay;
      m = 0.9 * m + 0.1 * gradient;
      v = 0.99 * v + 0.01 * gradient ** 2;
      p -= (learningRate * (m / (1 - 0.9 ** step))) / (Math.sqrt(v / (1 - 0.99 ** step)) + options.epsilon);
      const scalars = adamWScalars(learningRate, step, options);
      const next = adamWUpdate(params, state, { w: tf.tensor1d([gradient]) }, scalars, options);
      params = next.params;
      state = next.state;
      expect(Math.abs(params.w!.dataSync()[0]! - p)).toBeLessThan(1e-6);
    }
  });

  it('names a parameter without a gradient', () => {
    const params = { w: tf.scalar(1) };
    expect(() => adamWUpdate(params, adamWInit(params), {}, adamWScalars(1, 1, options), options)).toThrow(
      /no gradient for parameter w/,
    );
  });
});

it('scales gradients to the norm, and only down', () => {
  const big = clipByGlobalNorm({ a: tf.tensor1d([3, 0]), b: tf.scalar(4) }, 1);
  expect(big.norm.dataSync()[0]).toBeCloseTo(5, 6);
  expect(big.gradients.a!.dataSync()[0]).toBeCloseTo(0.6, 6);
  expect(clipByGlobalNorm({ a: tf.scalar(0.5) }, 1).gradients.a!.dataSync()[0]).toBe(0.5);
});

describe('learningRateAt', () => {
  it('warms up, then falls to its floor', () => {
    const schedule = { kind: 'cosine', warmupSteps: 4, totalSteps: 104, floor: 0.1 } as const;
    expect([0, 1, 3, 4].map((step) => learningRateAt(2, step, schedule))).toEqual([0.5, 1, 2, 2]);
    expect(learningRateAt(2, 54, schedule)).toBeCloseTo(1.1, 10);
    expect(learningRateAt(2, 104, schedule)).toBeCloseTo(0.2, 10);
    expect(learningRateAt(2, 999, schedule)).toBeCloseTo(0.2, 10);
  });
  it('falls as 1/√step without an end', () => {
    const schedule = { kind: 'inverseSqrt', warmupSteps: 4, decayFrom: 25, floor: 0.1 } as const;
    expect([0, 3, 4, 24].map((step) => learningRateAt(2, step, schedule))).toEqual([0.5, 2, 2, 2]);
    expect(learningRateAt(2, 99, schedule)).toBeCloseTo(1, 12);
    expect(learningRateAt(2, 1e6, schedule)).toBeCloseTo(0.2, 12);
    expect(learningRateAt(2, 7, { kind: 'inverseSqrt', warmupSteps: 2 })).toBeCloseTo(1, 12);
  });
  it('asks for the end of a decay', () => {
    expect(() => learningRateAt(1, 5, { kind: 'linear', warmupSteps: 0 })).toThrow(/totalSteps/);
  });
});
