import '@flow-grpo/tfjs-backend-xla';
import { cast, storageOf } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, it } from 'vitest';
import { gelu, geluTanh, quickGelu, silu } from './activations';

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

it.each([
  ['gelu', gelu, (x: number) => x * normalCdf(x)],
  ['geluTanh', geluTanh, (x: number) => x / (1 + Math.exp(-1.5957691216057308 * (x + 0.044715 * x ** 3)))],
  ['quickGelu', quickGelu, (x: number) => x * sigmoid(1.702 * x)],
] as const)('%s rounds nothing on its way', (_, activation, exact) => {
  const x = cast(tf.range(-3, 3, 0.3), 'bfloat16');
  const values = x.dataSync();
  for (const [i, y] of activation(x).dataSync().entries())
    expect(Math.abs(y - exact(values[i]!))).toBeLessThan(1e-5);
});

/** By Simpson's rule from 0. */
function normalCdf(x: number): number {
  const density = (t: number) => Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI);
  const count = 200;
  const step = x / count;
  let sum = density(0) + density(x);
  for (let i = 1; i < count; i++) sum += (i % 2 === 0 ? 2 : 4) * density(i * step);
  return 0.5 + (sum * step) / 3;
}
