import '@flow-grpo/tfjs-backend-xla';
import { cast, storageOf } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, it } from 'vitest';
import { silu } from './activations';

beforeAll(async () => expect(await tf.setBackend('xla')).toBe(true));

const VALUES = [-4, -1.25, -0.5, 0, 0.5, 1.25, 4];
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

it('holds SiLU and its gradient as the input is, so that the matrix products behind it stay narrow', () => {
  const x = cast(tf.tensor1d(VALUES), 'bfloat16');
  const y = silu(x);
  const gradient = tf.grad((z: tf.Tensor) => tf.sum(silu(z)))(x);
  expect([storageOf(y), storageOf(gradient)]).toEqual(['bfloat16', 'bfloat16']);
  const slopes = VALUES.map((v) => sigmoid(v) * (1 + v * (1 - sigmoid(v))));
  for (const [i, value] of y.dataSync().entries()) {
    expect(Math.abs(value - VALUES[i]! * sigmoid(VALUES[i]!))).toBeLessThanOrEqual(
      2 ** -8 * Math.abs(value) + 1e-6,
    );
  }
  for (const [i, value] of gradient.dataSync().entries())
    expect(Math.abs(value - slopes[i]!)).toBeLessThanOrEqual(2 ** -8 * Math.abs(slopes[i]!) + 1e-6);
});
