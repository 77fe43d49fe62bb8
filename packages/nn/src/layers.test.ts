import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bicubicMatrix,
  gelu,
  geluTanh,
  layerNorm,
  linear,
  patchEmbed,
  rmsNorm,
  silu,
  stopGradient,
} from './index';

const close = (actual: tf.Tensor, expected: ArrayLike<number>, tolerance = 1e-6) => {
  const values = actual.dataSync();
  expect(values.length).toBe(expected.length);
  for (let i = 0; i < values.length; i++) expect(Math.abs(values[i]! - expected[i]!)).toBeLessThan(tolerance);
};

describe('linear', () => {
  it('is x Wᵀ + b over the last axis', () => {
    const params = {
      'f.weight': tf.tensor2d([
        [1, 2],
        [3, 4],
        [5, 6],
      ]),
      'f.bias': tf.tensor1d([1, 0, -1]),
    };
    const y = linear(params, 'f', tf.tensor3d([[[1, 1]], [[2, -1]]]));
    expect(y.shape).toEqual([2, 1, 3]);
    close(y, [4, 7, 10, 1, 2, 3]);
  });

  it('adds the low-rank path', () => {
    const params = {
      'f.weight': tf.tensor2d([
        [1, 0],
        [0, 1],
      ]),
      'f.lora_A.weight': tf.tensor2d([[1, 1]]),
      'f.lora_B.weight': tf.tensor2d([[2], [3]]),
      'f.lora_scale': tf.scalar(0.5),
    };
    close(linear(params, 'f', tf.tensor2d([[1, 2]])), [1 + 3, 2 + 4.5]);
  });

  it('names the parameter whose width does not fit', () => {
    expect(() => linear({ 'f.weight': tf.zeros([3, 2]) }, 'f', tf.zeros([4, 5]))).toThrow(
      /f\.weight.*ends in 5/,
    );
    expect(() => linear({}, 'f', tf.zeros([4, 5]))).toThrow(/'f\.weight' is missing/);
  });
});

describe('activations', () => {
  it('have their known values at 1 and -2', () => {
    const x = tf.tensor1d([1, -2]);
    close(silu(x), [0.7310586, -0.2384058]);
    close(gelu(x), [0.8413447, -0.0455003]);
    close(geluTanh(x), [0.841192, -0.0454023]);
  });
});

describe('norms', () => {
  it('give unit root mean square, and zero mean with unit variance', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -9, max: 9, noNaN: true }), { minLength: 2, maxLength: 8 }),
        (xs) => {
          fc.pre(Math.max(...xs) - Math.min(...xs) > 0.1);
          const x = tf.tensor1d(xs);
          const ones = tf.onesLike(x);
          const rms = tf.sqrt(tf.mean(tf.square(rmsNorm(x, ones, 1e-12)))).dataSync()[0]!;
          const normed = layerNorm(x, ones, tf.zerosLike(x), 1e-12);
          const { mean, variance } = tf.moments(normed);
          expect(rms).toBeCloseTo(1, 4);
          expect(mean.dataSync()[0]).toBeCloseTo(0, 4);
          expect(variance.dataSync()[0]).toBeCloseTo(1, 3);
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('bicubicMatrix', () => {
  it('has rows that sum to one, and is the identity at equal sizes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 }), (from, to) => {
        const matrix = bicubicMatrix(from, to);
        for (let row = 0; row < to; row++) {
          const line = matrix.subarray(row * from, (row + 1) * from);
          expect(line.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
          if (from === to) expect(line[row]).toBeCloseTo(1, 6);
        }
      }),
    );
  });
});

describe('patchEmbed', () => {
  it('equals the strided convolution', () => {
    const images = tf.randomNormal([2, 4, 6, 3]) as tf.Tensor4D;
    const weight = tf.randomNormal([5, 3, 2, 2]);
    const bias = tf.randomNormal([5]);
    const tokens = patchEmbed({ 'e.weight': weight, 'e.bias': bias }, 'e', images);
    const kernel = tf.transpose(weight, [2, 3, 1, 0]) as tf.Tensor4D;
    const convolved = tf.add(tf.conv2d(images, kernel, 2, 'valid'), bias);
    close(tokens, convolved.dataSync(), 1e-5);
  });
});

describe('stopGradient', () => {
  it('keeps the value and cuts the derivative', () => {
    const f = (x: tf.Tensor) =>
      tf.sum(
        tf.mul(
          x,
          stopGradient(() => tf.square(x)),
        ),
      ) as tf.Scalar;
    const { value, grad } = tf.valueAndGrad(f)(tf.tensor1d([2, 3]));
    close(value, [8 + 27]);
    close(grad, [4, 9]);
  });
});
