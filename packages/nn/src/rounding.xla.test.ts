import '@flow-grpo/tfjs-backend-xla';
import { cast, jit, random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { linear, patchEmbed } from './index';

beforeAll(async () => {
  expect(await tf.setBackend('xla')).toBe(true);
});

/** Normal numbers that bfloat16 has. */
const draw = (seed: number, shape: number[], scale = 1) =>
  cast(tf.mul(random.normal(random.key(seed), shape), scale), 'bfloat16');

/** The nearest numbers that bfloat16 has. */
const rounded = (values: ArrayLike<number>) => [
  ...cast(tf.tensor1d([...Array.from(values)]), 'bfloat16').dataSync(),
];

/** rows Wᵀ + b in float64. */
function exact(rows: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor): number[] {
  const [n, inputs] = rows.shape as [number, number];
  const [x, w, b] = [rows, weight, bias].map((each) => each.dataSync()) as Float32Array[];
  const outputs = b!.length;
  return Array.from({ length: n * outputs }, (_, at) => {
    const [row, output] = [Math.floor(at / outputs), at % outputs];
    let sum = b![output]!;
    for (let i = 0; i < inputs; i++) sum += x![row * inputs + i]! * w![output * inputs + i]!;
    return sum;
  });
}

const rootMeanSquare = (p: ArrayLike<number>, q: ArrayLike<number>) =>
  Math.sqrt(Array.from(p).reduce((sum, v, i) => sum + (v - q[i]!) ** 2, 0) / p.length);

/** Few differ from float64 rounded once (where the order of a float32 sum tips a number over); rounding twice, many do. */
function expectRoundedOnce(actual: tf.Tensor, twice: tf.Tensor, expected: number[]): void {
  const once = rounded(expected);
  const off = (y: tf.Tensor) => y.dataSync().filter((v, i) => v !== once[i]).length / y.size;
  expect(off(actual)).toBeLessThan(0.005);
  expect(off(twice)).toBeGreaterThan(0.05);
  expect(rootMeanSquare(actual.dataSync(), expected)).toBeLessThan(
    0.95 * rootMeanSquare(twice.dataSync(), expected),
  );
}

describe('in bfloat16 a bias is added before the product is rounded', () => {
  const inputs = 96;
  let weight: tf.Tensor;
  let bias: tf.Tensor;
  let x: tf.Tensor;
  beforeAll(() => {
    weight = draw(1, [64, inputs], inputs ** -0.5);
    bias = draw(2, [64]);
    x = draw(3, [128, inputs]);
  });
  const twice = (rows: tf.Tensor, w: tf.Tensor) => tf.add(tf.matMul(rows, w, false, true), bias);

  it('by linear, eager and jitted', () => {
    const f = (rows: tf.Tensor) => linear({ 'a.weight': weight, 'a.bias': bias }, 'a', rows);
    for (const run of [f, jit(f)]) expectRoundedOnce(run(x), twice(x, weight), exact(x, weight, bias));
  });

  it('with the gradients that the product and the sum have', () => {
    const dy = draw(4, [128, 64]);
    const gradients = (f: (x: tf.Tensor, w: tf.Tensor, b: tf.Tensor) => tf.Tensor) =>
      tf
        .grads(f)([x, weight, bias], dy)
        .map((each) => [...each.dataSync()]);
    const actual = gradients((rows, w, b) => linear({ 'a.weight': w, 'a.bias': b }, 'a', rows));
    expect(actual).toEqual(gradients((rows, w, b) => tf.add(tf.matMul(rows, w, false, true), b)));
  });

  it('by patchEmbed', () => {
    const kernel = draw(5, [64, 3, 4, 4], 48 ** -0.5);
    const images = draw(6, [2, 16, 24, 3]);
    const tokens = patchEmbed({ 'p.weight': kernel, 'p.bias': bias }, 'p', images);
    const rows = tf.reshape(tf.transpose(tf.reshape(images, [2 * 4, 4, 6, 12]), [0, 2, 1, 3]), [-1, 48]);
    const flat = tf.reshape(tf.transpose(kernel, [0, 2, 3, 1]), [64, 48]);
    expectRoundedOnce(tf.reshape(tokens, [-1, 64]), twice(rows, flat), exact(rows, flat, bias));
  });
});
