/** Functions whose gradients run every gradient that tfjs-core registers. */
import * as tf from '@tensorflow/tfjs-core';

/** Gradients that no case runs, with the reason. */
export const uncovered: Readonly<Record<string, string>> = {
  ComplexAbs:
    'its input is complex, and tfjs-core has no gradient that leads from a real tensor to a complex one',
};

type Fn = (...xs: tf.Tensor[]) => tf.Tensor;
export interface Case {
  readonly name: string;
  readonly fn: Fn;
  readonly shapes: readonly number[][];
  /** Values in (0, 1) for functions that are not defined everywhere. */
  readonly positive?: boolean;
  /** How tfjs-core's gradient differs from the derivative: eager and jit are compared alone. */
  readonly notDerivative?: string;
}

const as4 = (x: tf.Tensor) => x as tf.Tensor4D;
const as5 = (x: tf.Tensor) => x as tf.Tensor5D;

const selected = (condition: tf.Tensor, x: tf.Tensor) => tf.where(condition, tf.square(x), tf.mul(x, 3));

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
  // Flat nearly everywhere, and the values of the grid lie between their jumps.
  ceil: tf.ceil,
  floor: tf.floor,
  round: tf.round,
  sign: tf.sign,
  step: (x) => tf.step(x!, 0.3),
  zerosLike: tf.zerosLike,
  onesLike: tf.onesLike,
  isFinite: (x) => selected(tf.isFinite(x!), x!),
  isInf: (x) => selected(tf.isInf(x!), x!),
  isNaN: (x) => selected(tf.isNaN(x!), x!),
  clipByValue: (x) => tf.clipByValue(x!, -0.5, 0.5),
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

/** One of the factors of a product over axes 0 and 2 is zero. */
const zeroAt = () => tf.tensor3d([1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1], [2, 3, 2]);

// Kernels with a gradient that tfjs-core's operations reach by other kernels.
const broadcastKernel = (x: tf.Tensor, shape: number[]) =>
  tf.square(tf.engine().runKernel(tf.BroadcastTo, { x }, { shape, inputShape: x.shape }) as tf.Tensor);
const logSoftmaxKernel = (logits: tf.Tensor) =>
  tf.engine().runKernel(tf.LogSoftmax, { logits }, { axis: -1 }) as tf.Tensor;

const broadcasts: [string, Fn][] = [
  ['mul', (x, y) => tf.mul(x!, y!)],
  ['div', (x, y) => tf.div(x!, y!)],
  ['pow', (x, y) => tf.pow(x!, y!)],
  ['atan2', (x, y) => tf.atan2(x!, y!)],
  ['maximum', (x, y) => tf.maximum(x!, tf.mul(y!, 1.2))],
  ['minimum', (x, y) => tf.minimum(x!, tf.mul(y!, 1.2))],
  ['squaredDifference', (x, y) => tf.squaredDifference(x!, y!)],
  ['mod', (x, y) => tf.mod(x!, tf.add(y!, 3))],
  ['prelu', (x, y) => tf.prelu(tf.sub(x!, 0.5), y!)],
];

/** Whose slope jumps: cases stay on one side of the jump, where differences are derivatives. */
const KINKED = ['relu', 'relu6', 'leakyrelu', 'prelu'];

/**
 * The fused layers with one activation, with and without a bias. The plain matrix product is left out: tfjs-core keeps its
 * result beside the reshaped one, which its check for leaks (IS_TEST) takes for one where reshaping makes new data.
 */
function fusedCases(activation: tf.fused.Activation): Case[] {
  const slopes = (channels: number) =>
    activation === 'prelu' ? { preluActivationWeights: tf.fill([channels], 0.2) } : {};
  return [true, false].flatMap((biased) => {
    const options = (bias: tf.Tensor | undefined, channels: number) => ({
      activation,
      ...slopes(channels),
      ...(biased && { bias: bias! }),
    });
    const bias = (size: number) => (biased ? [[size]] : []);
    const layers: Pick<Case, 'name' | 'fn' | 'shapes'>[] = [
      {
        name: 'matMul',
        fn: (a, b, c) => tf.fused.matMul({ a: a!, b: b!, ...options(c, 3) }),
        shapes: [[2, 4], [4, 3], ...bias(3)],
      },
      {
        name: 'conv2d',
        fn: (x, f, c) =>
          tf.fused.conv2d({ x: as4(x!), filter: as4(f!), strides: 1, pad: 'same', ...options(c, 2) }),
        shapes: [[1, 3, 3, 2], [2, 2, 2, 2], ...bias(2)],
      },
      {
        name: 'depthwiseConv2d',
        fn: (x, f, c) =>
          tf.fused.depthwiseConv2d({
            x: as4(x!),
            filter: as4(f!),
            strides: 1,
            pad: 'same',
            ...options(c, 2),
          }),
        shapes: [[1, 3, 3, 2], [2, 2, 2, 1], ...bias(2)],
      },
    ];
    const kept = activation === 'linear' ? layers.slice(1) : layers;
    const kinked = KINKED.includes(activation);
    return kept.flatMap(({ name, fn, shapes }) => {
      const named = `fused.${name}, ${activation} with${biased ? '' : 'out'} a bias`;
      if (!kinked) return [{ name: named, fn, shapes }];
      const below: Fn = (x, f, c) => fn(tf.mul(x!, -1), f!, ...(c ? [tf.mul(c, -1)] : []));
      return [
        { name: `${named}, above 0`, fn, shapes, positive: true },
        { name: `${named}, below 0`, fn: below, shapes, positive: true },
      ];
    });
  });
}

export const cases: Case[] = [
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
  ...broadcasts.map(([name, fn]) => ({
    name: `${name}, both broadcast`,
    fn,
    shapes: [
      [2, 1, 4],
      [3, 1],
    ],
    positive: true,
  })),
  { name: 'sum', fn: (x) => tf.square(tf.sum(x!, 1)), shapes: [[3, 4]] },
  { name: 'mean', fn: (x) => tf.square(tf.mean(x!, [0, 2])), shapes: [[2, 3, 2]] },
  { name: 'max', fn: (x) => tf.max(x!, 1), shapes: [[3, 4]] },
  { name: 'softmax', fn: (x) => tf.softmax(x!), shapes: [[3, 4]] },
  { name: 'logSoftmax', fn: (x) => tf.logSoftmax(x!), shapes: [[3, 4]] },
  { name: 'logSumExp', fn: (x) => tf.logSumExp(x!, 1), shapes: [[3, 4]] },
  { name: 'cumsum', fn: (x) => tf.cumsum(x!, 1, true, true), shapes: [[5, 2]] },
  { name: 'cumsum along the first axis', fn: (x) => tf.square(tf.cumsum(x!, 0)), shapes: [[5, 2]] },
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
    name: 'gather by batches',
    fn: (x) => tf.square(tf.gather(x!, tf.tensor2d([1, 1, 0, 2], [2, 2], 'int32'), 1, 1)),
    shapes: [[2, 3, 2]],
  },
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
    name: 'resizeBilinear, half-pixel centres',
    fn: (x) => tf.image.resizeBilinear(as4(x!), [5, 3], false, true),
    shapes: [[1, 3, 5, 1]],
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
  {
    name: 'batchNorm without offset and scale',
    fn: (x, m, v) => tf.batchNorm(x!, m!, tf.add(tf.square(v!), 1)),
    shapes: [[4, 3], [3], [3]],
  },
  {
    name: 'batchNorm without scale',
    fn: (x, m, o) => tf.batchNorm(x!, m!, tf.add(tf.square(m!), 1), o!),
    shapes: [[2, 2, 2, 3], [3], [3]],
  },
  {
    name: 'batchNorm without offset',
    fn: (x, m, s) => tf.batchNorm(x!, m!, tf.add(tf.square(m!), 1), undefined, s!),
    shapes: [[2, 2, 2, 3], [3], [3]],
  },
  ...(['relu', 'relu6', 'elu', 'sigmoid', 'leakyrelu', 'prelu', 'linear'] as const).flatMap(fusedCases),
  { name: 'addN', fn: (x, y) => tf.square(tf.addN([x!, y!, x!])), shapes: [[3], [3]] },
  { name: 'minimum', fn: (x, y) => tf.minimum(x!, tf.mul(y!, 0.9)), shapes: [[4], [4]] },
  {
    name: 'greaterEqual',
    fn: (x, y) => selected(tf.greaterEqual(x!, tf.mul(y!, 0.9)), x!),
    shapes: [[4], [4]],
  },
  { name: 'mod', fn: (x, y) => tf.mod(x!, tf.add(tf.abs(y!), 3)), shapes: [[3, 4], [4]] },
  {
    name: 'floorDiv',
    fn: (x, y) => tf.floorDiv(x!, y!),
    shapes: [[4], [4]],
    positive: true,
    notDerivative: 'that of the division without the floor',
  },
  { name: 'min', fn: (x) => tf.min(x!, 0), shapes: [[3, 4]] },
  {
    name: 'argMax and argMin',
    fn: (x) => tf.mul(tf.add(tf.cast(tf.argMax(x!, 1), 'float32'), tf.cast(tf.argMin(x!, 1), 'float32')), 2),
    shapes: [[3, 4]],
  },
  {
    name: 'oneHot',
    fn: (x) => tf.mul(tf.oneHot(tf.argMax(x!, 1) as tf.Tensor1D, 4), x!),
    shapes: [[3, 4]],
  },
  { name: 'prod', fn: (x) => tf.prod(x!, 1), shapes: [[3, 4]] },
  {
    name: 'prod over several axes, with a zero',
    fn: (x) => tf.prod(tf.mul(x!, zeroAt()), [0, 2]),
    shapes: [[2, 3, 2]],
  },
  { name: 'expandDims', fn: (x) => tf.square(tf.expandDims(x!, 1)), shapes: [[3, 4]] },
  { name: 'reverse', fn: (x) => tf.square(tf.reverse(x!, [1])), shapes: [[3, 4]] },
  { name: 'unstack of one', fn: (x) => tf.square(tf.unstack(x!)[0]!), shapes: [[1, 4]] },
  { name: 'split into one', fn: (x) => tf.square(tf.split(x!, 1, 1)[0]!), shapes: [[2, 4]] },
  { name: 'broadcastTo', fn: (x) => broadcastKernel(x!, [3, 2, 4]), shapes: [[3, 1, 4]] },
  {
    name: 'mirrorPad',
    fn: (x) =>
      tf.square(
        tf.mirrorPad(
          x!,
          [
            [1, 0],
            [0, 2],
          ],
          'reflect',
        ),
      ),
    shapes: [[3, 4]],
    notDerivative: 'what the mirrored copies contribute is left out, and its own suite wants it so',
  },
  {
    name: 'spaceToBatchND',
    fn: (x) =>
      tf.square(
        tf.spaceToBatchND(
          x!,
          [2, 2],
          [
            [0, 0],
            [1, 1],
          ],
        ),
      ),
    shapes: [[1, 4, 2, 2]],
  },
  {
    name: 'batchToSpaceND',
    fn: (x) =>
      tf.square(
        tf.batchToSpaceND(
          x!,
          [2, 2],
          [
            [0, 0],
            [1, 0],
          ],
        ),
      ),
    shapes: [[4, 2, 2, 1]],
  },
  {
    // A filter too flat to change which neighbour is the largest.
    name: 'dilation2d',
    fn: (x, f) => tf.dilation2d(as4(x!), tf.mul(f!, 0.01) as tf.Tensor3D, 1, 'same'),
    shapes: [
      [1, 4, 3, 1],
      [2, 2, 1],
    ],
  },
  { name: 'logSoftmax kernel', fn: (x) => logSoftmaxKernel(x!), shapes: [[3, 4]] },
];
