import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { jit } from '../index';

beforeAll(async () => {
  expect(await tf.setBackend('xla')).toBe(true);
});

type Fn = (...xs: tf.Tensor[]) => tf.Tensor;
interface Case {
  readonly name: string;
  readonly fn: Fn;
  readonly shapes: readonly number[][];
  /** Values in (0, 1) for functions that are not defined everywhere. */
  readonly positive?: boolean;
}

const as4 = (x: tf.Tensor) => x as tf.Tensor4D;
const as5 = (x: tf.Tensor) => x as tf.Tensor5D;

const elementwise: Record<string, Fn> = {
  abs: tf.abs,
  atan: tf.atan,
  asinh: tf.asinh,
  cos: tf.cos,
  cosh: tf.cosh,
  elu: tf.elu,
  erf: tf.erf,
  exp: tf.exp,
  expm1: tf.expm1,
  leakyRelu: (x) => tf.leakyRelu(x!),
  neg: tf.neg,
  relu: tf.relu,
  relu6: tf.relu6,
  selu: tf.selu,
  sigmoid: tf.sigmoid,
  sin: tf.sin,
  sinh: tf.sinh,
  softplus: tf.softplus,
  square: tf.square,
  tan: (x) => tf.tan(tf.mul(x!, 0.5)),
  tanh: tf.tanh,
} as Record<string, Fn>;

const positive: Record<string, Fn> = {
  acos: tf.acos,
  asin: tf.asin,
  atanh: tf.atanh,
  acosh: (x) => tf.acosh(tf.add(x!, 1.5)),
  log: tf.log,
  log1p: tf.log1p,
  reciprocal: tf.reciprocal,
  rsqrt: tf.rsqrt,
  sqrt: tf.sqrt,
} as Record<string, Fn>;

const index = () => tf.tensor1d([2, 0, 2], 'int32');

/** Without prod and einsum: tfjs-core's gradient of the first needs chained methods, the second has none. */
const cases: Case[] = [
  ...Object.entries(elementwise).map(([name, fn]) => ({ name, fn, shapes: [[3, 4]] })),
  ...Object.entries(positive).map(([name, fn]) => ({ name, fn, shapes: [[3, 4]], positive: true })),
  { name: 'add, broadcast', fn: (x, y) => tf.add(x!, y!), shapes: [[3, 4], [4]] },
  {
    name: 'sub, broadcast',
    fn: (x, y) => tf.sub(x!, y!),
    shapes: [
      [2, 1, 4],
      [3, 1],
    ],
  },
  {
    name: 'mul, broadcast',
    fn: (x, y) => tf.mul(x!, y!),
    shapes: [
      [3, 4],
      [3, 1],
    ],
  },
  { name: 'div', fn: (x, y) => tf.div(x!, y!), shapes: [[3], [3]], positive: true },
  { name: 'pow', fn: (x, y) => tf.pow(x!, y!), shapes: [[4], [4]], positive: true },
  { name: 'atan2', fn: (x, y) => tf.atan2(x!, y!), shapes: [[4], [4]], positive: true },
  { name: 'maximum', fn: (x, y) => tf.maximum(x!, tf.mul(y!, 0.9)), shapes: [[4], [4]] },
  { name: 'squaredDifference', fn: (x, y) => tf.squaredDifference(x!, y!), shapes: [[4], [4]] },
  { name: 'prelu', fn: (x, y) => tf.prelu(x!, y!), shapes: [[3, 4], [4]] },
  { name: 'sum', fn: (x) => tf.square(tf.sum(x!, 1)), shapes: [[3, 4]] },
  { name: 'mean', fn: (x) => tf.square(tf.mean(x!, [0, 2])), shapes: [[2, 3, 2]] },
  { name: 'max', fn: (x) => tf.max(x!, 1), shapes: [[3, 4]] },
  { name: 'softmax', fn: (x) => tf.softmax(x!), shapes: [[3, 4]] },
  { name: 'logSoftmax', fn: (x) => tf.logSoftmax(x!), shapes: [[3, 4]] },
  { name: 'logSumExp', fn: (x) => tf.logSumExp(x!, 1), shapes: [[3, 4]] },
  { name: 'cumsum', fn: (x) => tf.cumsum(x!, 1, true, true), shapes: [[5, 2]] },
  {
    name: 'matMul',
    fn: (x, y) => tf.matMul(x!, y!, false, true),
    shapes: [
      [2, 3, 4],
      [2, 5, 4],
    ],
  },
  { name: 'transpose', fn: (x) => tf.square(tf.transpose(x!, [2, 0, 1])), shapes: [[2, 3, 2]] },
  {
    name: 'concat and split',
    fn: (x, y) => tf.square(tf.split(tf.concat([x!, y!], 1), [2, 3], 1)[1]!),
    shapes: [
      [2, 2],
      [2, 3],
    ],
  },
  {
    name: 'stack and unstack',
    fn: (x, y) => tf.square(tf.unstack(tf.stack([x!, y!], 1), 1)[1]!),
    shapes: [
      [2, 2],
      [2, 2],
    ],
  },
  { name: 'slice', fn: (x) => tf.square(tf.slice(x!, [1, 0], [2, 3])), shapes: [[4, 3]] },
  {
    name: 'gather by range',
    fn: (x) => tf.square(tf.gather(x!, tf.range(0, 4, 2, 'int32'))),
    shapes: [[4, 3]],
  },
  {
    name: 'pad',
    fn: (x) =>
      tf.square(
        tf.pad(x!, [
          [1, 0],
          [0, 2],
        ]),
      ),
    shapes: [[2, 3]],
  },
  { name: 'tile', fn: (x) => tf.square(tf.tile(x!, [2, 2])), shapes: [[2, 3]] },
  { name: 'gather', fn: (x) => tf.square(tf.gather(x!, index(), 1)), shapes: [[2, 3, 2]] },
  {
    name: 'unsortedSegmentSum',
    fn: (x) => tf.square(tf.unsortedSegmentSum(x!, index(), 3)),
    shapes: [[3, 2]],
  },
  {
    name: 'where',
    fn: (x, y) =>
      tf.where(
        tf.tensor2d(
          [
            [1, 0, 1],
            [0, 1, 1],
          ],
          [2, 3],
          'bool',
        ),
        tf.square(x!),
        y!,
      ),
    shapes: [
      [2, 3],
      [2, 3],
    ],
  },
  {
    name: 'conv2d',
    fn: (x, f) => tf.conv2d(as4(x!), as4(f!), [2, 1], 'same'),
    shapes: [
      [2, 5, 4, 3],
      [3, 2, 3, 2],
    ],
  },
  {
    name: 'conv2d, valid',
    fn: (x, f) => tf.conv2d(as4(x!), as4(f!), 1, 'valid'),
    shapes: [
      [1, 5, 5, 2],
      [3, 3, 2, 2],
    ],
  },
  {
    name: 'conv2dTranspose',
    fn: (x, f) => tf.conv2dTranspose(as4(x!), as4(f!), [1, 6, 6, 2], 2, 'same'),
    shapes: [
      [1, 3, 3, 3],
      [3, 3, 2, 3],
    ],
  },
  {
    name: 'depthwiseConv2d',
    fn: (x, f) => tf.depthwiseConv2d(as4(x!), as4(f!), 1, 'same'),
    shapes: [
      [2, 4, 5, 3],
      [2, 3, 3, 2],
    ],
  },
  {
    name: 'conv3d',
    fn: (x, f) => tf.conv3d(as5(x!), as5(f!), 1, 'same'),
    shapes: [
      [1, 3, 3, 3, 2],
      [2, 2, 2, 2, 2],
    ],
  },
  { name: 'maxPool', fn: (x) => tf.maxPool(as4(x!), 3, 2, 'same'), shapes: [[1, 5, 5, 2]] },
  { name: 'avgPool', fn: (x) => tf.avgPool(as4(x!), 3, 2, 'same'), shapes: [[1, 5, 5, 2]] },
  {
    name: 'avgPool, uncovered border',
    fn: (x) => tf.avgPool(as4(x!), 2, 2, 'valid'),
    shapes: [[1, 5, 5, 1]],
  },
  {
    name: 'maxPool, uncovered border',
    fn: (x) => tf.maxPool(as4(x!), 2, 2, 'valid'),
    shapes: [[1, 5, 5, 1]],
  },
  { name: 'avgPool3d', fn: (x) => tf.avgPool3d(as5(x!), 2, 1, 'same'), shapes: [[1, 3, 3, 3, 1]] },
  { name: 'maxPool3d', fn: (x) => tf.maxPool3d(as5(x!), 2, 1, 'same'), shapes: [[1, 3, 3, 3, 1]] },
  { name: 'resizeBilinear', fn: (x) => tf.image.resizeBilinear(as4(x!), [5, 7]), shapes: [[1, 3, 4, 2]] },
  {
    name: 'resizeBilinear, aligned',
    fn: (x) => tf.image.resizeBilinear(as4(x!), [2, 3], true),
    shapes: [[1, 4, 5, 1]],
  },
  {
    name: 'resizeNearestNeighbor',
    fn: (x) => tf.image.resizeNearestNeighbor(as4(x!), [5, 7]),
    shapes: [[1, 3, 4, 2]],
  },
  {
    name: 'localResponseNormalization',
    fn: (x) => tf.localResponseNormalization(as4(x!), 2),
    shapes: [[1, 2, 2, 5]],
  },
  {
    name: 'batchNorm',
    fn: (x, m, s) => tf.batchNorm(x!, m!, tf.add(tf.square(s!), 1), m!, s!),
    shapes: [[4, 3], [3], [3]],
  },
];

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
  it.each(cases)('$name', ({ fn, shapes, positive: above = false }) => {
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
});
