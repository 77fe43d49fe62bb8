/** An objective-* case of the fixtures: its tensors, its little model, and comparisons that keep count. */
import { maxAbs, numbers, readJson, readTensors } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'vitest';

/** The weights of v = x·W + b + t·c + prompt. */
export type Weights = { W: tf.Tensor; b: tf.Tensor; c: tf.Tensor };

/** A largest difference of `absolute` + `relative` · the tensor's largest value. */
export interface Tolerance {
  absolute?: number;
  relative?: number;
}

export function objectiveCase<Setting extends { key: string; scalars: Record<string, number> }>(dir: string) {
  const inputs = readTensors(dir, 'inputs.safetensors');
  const outputs = readTensors(dir, 'outputs.safetensors');
  const settings = readJson<Setting[]>(dir, 'settings.json');
  const input = (name: string): tf.Tensor => toTensor(found(inputs, name));
  const weights = (set: string): Weights => ({
    W: input(`${set}.W`),
    b: input(`${set}.b`),
    c: input(`${set}.c`),
  });

  /** Compares quantities of a key; every quantity that the file has must be compared by the end of the key. */
  const comparison = (key: string) => {
    const names = Object.keys(outputs).filter((name) => name.startsWith(`${key}.`));
    const left = new Set(names);
    return {
      /** Where the file has the quantity (some stand under one key only). */
      optional(quantity: string, actual: () => tf.Tensor, tolerance: Tolerance) {
        if (left.has(`${key}.${quantity}`)) this.equal(quantity, actual(), tolerance);
      },
      equal(quantity: string, actual: tf.Tensor, tolerance: Tolerance) {
        const expected = found(outputs, `${key}.${quantity}`);
        left.delete(`${key}.${quantity}`);
        expect(actual.size, `${key}.${quantity}: number of values`).toBe(expected.data.length);
        close(actual, numbers(expected), tolerance, `${key}.${quantity}`);
      },
      /** Relative to the tensor's largest value, which counts as 1e-6 at least divided by the tolerance. */
      gradients(actual: Weights, relative: number) {
        for (const name of ['W', 'b', 'c'] as const) {
          const size = maxAbs(numbers(found(outputs, `${key}.grad.${name}`)));
          this.equal(`grad.${name}`, actual[name], { absolute: Math.max(relative * size, 1e-6) });
        }
      },
      done() {
        expect([...left], 'quantities nothing was compared with').toEqual([]);
      },
    };
  };
  return { inputs, outputs, settings, input, weights, comparison };
}

export function close(
  actual: tf.Tensor,
  expected: readonly number[],
  { absolute = 0, relative = 0 }: Tolerance,
  label: string,
): void {
  const values = actual.dataSync();
  const allowed = absolute + relative * maxAbs(expected);
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(values[i]! - expected[i]!);
    worst = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(worst, difference);
  }
  expect(worst, `${label}: largest difference ${worst}, allowed ${allowed}`).toBeLessThanOrEqual(allowed);
}

/** The model's velocity at x [B, h, w, C], t [B], prompt [B, C]. */
export function velocityOf({ W, b, c }: Weights, x: tf.Tensor, t: tf.Tensor, prompt: tf.Tensor): tf.Tensor {
  const [batch, ...rest] = x.shape as [number, ...number[]];
  const channels = rest.at(-1)!;
  const perSample = (value: tf.Tensor) => tf.reshape(value, [batch, ...rest.slice(1).map(() => 1), channels]);
  const product = tf.reshape(tf.matMul(tf.reshape(x, [-1, channels]), W as tf.Tensor2D), x.shape);
  const time = tf.mul(tf.expandDims(t, 1), tf.expandDims(c, 0));
  return tf.addN([
    tf.add(product, b),
    tf.broadcastTo(perSample(time), x.shape),
    tf.broadcastTo(perSample(prompt), x.shape),
  ]);
}

/** The gradient of a scalar in the weights. */
export function gradientsOf(f: (weights: Weights) => tf.Scalar, { W, b, c }: Weights): Weights {
  const [gW, gb, gc] = tf.grads((w: tf.Tensor, bias: tf.Tensor, time: tf.Tensor) =>
    f({ W: w, b: bias, c: time }),
  )([W, b, c]);
  return { W: gW!, b: gb!, c: gc! };
}

/** The velocity with guidance: n + scale · (c − n), of the prompt c and the negative prompt n; c itself at scale 1. */
export function guidedVelocity(
  weights: Weights,
  x: tf.Tensor,
  t: tf.Tensor,
  { prompt, negative }: { prompt: tf.Tensor; negative: tf.Tensor },
  scale: number,
): tf.Tensor {
  const c = velocityOf(weights, x, t, prompt);
  if (scale === 1) return c;
  const n = velocityOf(weights, x, t, negative);
  return tf.add(n, tf.mul(scale, tf.sub(c, n)));
}

/** The gradients of a loss at each of `count` times, [T, …]. */
export function gradientsOverTimes(
  count: number,
  lossAt: (weights: Weights, i: number) => tf.Scalar,
  weights: Weights,
): Weights {
  const each = Array.from({ length: count }, (_, i) => gradientsOf((w) => lossAt(w, i), weights));
  const over = (part: keyof Weights) => stacked(each.map((gradients) => gradients[part]));
  return { W: over('W'), b: over('b'), c: over('c') };
}

/** Row i of a tensor [T, …]. */
export const at = (value: tf.Tensor, i: number): tf.Tensor =>
  tf.reshape(tf.slice(value, i, 1), value.shape.slice(1));

/** The tensors of all times as one, [T, …]. */
export const stacked = (values: readonly tf.Tensor[]): tf.Tensor => tf.stack([...values]);

/** [n] equal weights that sum to 1. */
export const evenly = (n: number): tf.Tensor => tf.fill([n], 1 / n);

export const toTensor = (tensor: {
  shape: number[];
  dtype: string;
  data: ArrayLike<number | bigint>;
}): tf.Tensor => tf.tensor(Float32Array.from(tensor.data as ArrayLike<number>, Number), tensor.shape);

function found<T>(tensors: Record<string, T>, name: string): T {
  const tensor = tensors[name];
  if (!tensor) throw new Error(`the case has no ${name}`);
  return tensor;
}
