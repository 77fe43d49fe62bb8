/** NaN through every kernel of float tensors: as tfjs-backend-cpu has it, and numpy, unless a case says otherwise. */
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import '../index';
import { cast, jit, scaledDotProductAttention } from '@flow-grpo/tfjs-jit';

beforeAll(async () => {
  expect(await tf.setBackend('xla')).toBe(true);
});

const N = Number.NaN;

/** A 4 × 4 image whose second cell is NaN; `y` has its NaN elsewhere, `z` where `x` has it too. */
const X = [1, N, 3, -1, 0.5, 2, -2, 0.25, 4, 1.5, -3, 2.5, 0.75, -0.5, 3.5, 2.25];
const Y = [2, 1, N, 0.5, 1.5, 3, 0.5, 2, 1, 4, 2, 0.25, 2, 1, 3, 0.5];
const Z = [2, N, N, 0.5, 1.5, 3, 0.5, 2, 1, 4, 2, 0.25, 2, 1, 3, 0.5];

type Fn = (x: tf.Tensor, y: tf.Tensor, z: tf.Tensor) => tf.Tensor | tf.Tensor[];
/** Functions of three [4, 4] tensors. */
const cases: Record<string, Fn> = {};

const as4 = (x: tf.Tensor) => x as tf.Tensor4D;
const as5 = (x: tf.Tensor) => x as tf.Tensor5D;
const image = (x: tf.Tensor) => tf.reshape(x, [1, 4, 4, 1]) as tf.Tensor4D;
const video = (x: tf.Tensor) => tf.reshape(x, [1, 4, 2, 2, 1]) as tf.Tensor5D;
const kernelOf = (name: string, inputs: tf.NamedTensorMap, attrs: object = {}) =>
  tf.engine().runKernel(name, inputs, attrs as tf.NamedAttrMap) as tf.Tensor;

const { abs, acos, acosh, asin, asinh, atan, atanh, ceil, cos, cosh, elu, erf, exp, expm1, floor } = tf;
const { isInf, leakyRelu, log, log1p, neg, reciprocal, relu, relu6, round, rsqrt, selu } = tf;
const { sigmoid, sign, sin, sinh, softplus, sqrt, square, step, tan, tanh, clone, zerosLike, onesLike } = tf;
const { softmax, logSoftmax } = tf;
Object.entries({
  ...{
    abs,
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atanh,
    ceil,
    cos,
    cosh,
    elu,
    erf,
    exp,
    expm1,
    floor,
    isInf,
  },
  ...{
    leakyRelu,
    log,
    log1p,
    neg,
    reciprocal,
    relu,
    relu6,
    round,
    rsqrt,
    selu,
    sigmoid,
    sign,
    sin,
    sinh,
  },
  ...{ softplus, sqrt, square, step, tan, tanh, clone, zerosLike, onesLike, softmax, logSoftmax },
}).forEach(([name, fn]) => {
  cases[name] = (x) => fn(x);
});
const { add, sub, mul, div, mod, maximum, minimum, squaredDifference, atan2, prelu } = tf;
const { equal, notEqual, less, lessEqual, greater, greaterEqual } = tf;
Object.entries({
  ...{ add, sub, mul, div, mod, maximum, minimum, squaredDifference, atan2, prelu },
  ...{ equal, notEqual, less, lessEqual, greater, greaterEqual },
}).forEach(([name, fn]) => {
  cases[name] = (x, y, z) => [fn(x, y), fn(y, x), fn(x, z), fn(x, tf.scalar(N)), fn(tf.scalar(N), x)];
});
const { sum, mean, max, min, prod, cumsum, cumprod } = tf;
Object.entries({ sum, mean, max, min, prod, cumsum, cumprod }).forEach(([name, fn]) => {
  cases[name] = (x) => [fn(x, 0), fn(x, 1)];
});

Object.assign(cases, {
  'isFinite and isNaN': (x) => [tf.isFinite(x), tf.isNaN(x)],
  clipByValue: (x) => tf.clipByValue(x, -1, 1),
  cast: (x) => [tf.cast(x, 'int32'), tf.cast(x, 'bool')],
  addN: (x, y, z) => tf.addN([x, y, z]),
  where: (x, y) => [tf.where(tf.less(x, y), x, y), tf.where(tf.isNaN(x), y, x)],
  'logical operations': (x, y) => [
    tf.logicalAnd(tf.less(x, y), tf.greater(x, y)),
    tf.logicalOr(tf.less(x, y), tf.equal(x, x)),
    tf.logicalNot(tf.less(x, y)),
    tf.any(tf.less(x, y), 1),
    tf.all(tf.less(x, y), 1),
  ],
  eluGrad: (x, y) => kernelOf('EluGrad', { dy: x, y }),
  logSumExp: (x) => tf.logSumExp(x, 1),
  matMul: (x, y) => [tf.matMul(x, y), kernelOf('_FusedMatMul', { a: x, b: y }, { activation: 'relu' })],
  einsum: (x, y) => tf.einsum('ij,jk->ik', x, y),
  'moving elements': (x) => [
    tf.transpose(x),
    tf.reverse(x, 0),
    tf.slice(x, [0, 1], [2, 2]),
    tf.stridedSlice(x, [0, 0], [4, 4], [2, 1]),
    tf.pad(x, [
      [1, 0],
      [0, 1],
    ]),
    tf.mirrorPad(
      x,
      [
        [1, 0],
        [0, 1],
      ],
      'reflect',
    ),
    tf.tile(x, [2, 1]),
    tf.concat([x, x], 1),
    tf.stack([x, x]),
    ...tf.unstack(x),
    ...tf.split(x, 2, 1),
    tf.reshape(x, [2, 8]),
    tf.expandDims(x, 0),
    tf.gather(x, tf.tensor1d([0, 2], 'int32'), 1),
    tf.gatherND(x, tf.tensor2d([0, 1, 1, 1], [2, 2], 'int32')),
    tf.broadcastTo(tf.slice(x, 0, 1), [3, 4]),
    tf.spaceToBatchND(
      image(x),
      [2, 2],
      [
        [0, 0],
        [0, 0],
      ],
    ),
    tf.batchToSpaceND(
      tf.reshape(x, [4, 2, 2, 1]),
      [2, 2],
      [
        [0, 0],
        [0, 0],
      ],
    ),
    tf.depthToSpace(tf.reshape(x, [1, 2, 2, 4]) as tf.Tensor4D, 2),
    tf.image.flipLeftRight(image(x)),
  ],
  scattering: (x) => {
    const rows = tf.tensor2d([0, 2, 0, 1], [4, 1], 'int32');
    return [
      tf.scatterND(rows, x, [3, 4]),
      tf.tensorScatterUpdate(tf.zeros([3, 4]), tf.tensor2d([0, 2], [2, 1], 'int32'), tf.slice(x, 0, 2)),
      tf.sparseToDense(tf.tensor1d([0, 2], 'int32'), tf.slice(tf.reshape(x, [-1]), 0, 2), [3]),
      tf.bincount(tf.tensor1d([0, 2, 0, 1], 'int32'), tf.slice(tf.reshape(x, [-1]), 0, 4) as tf.Tensor1D, 3),
      tf.denseBincount(
        tf.tensor1d([0, 2, 0, 1], 'int32'),
        tf.slice(tf.reshape(x, [-1]), 0, 4) as tf.Tensor1D,
        3,
      ),
    ];
  },
  convolutions: (x, y) => {
    const filter = tf.slice(image(y), 0, [1, 2, 2, 1]);
    const flat = tf.reshape(filter, [2, 2, 1, 1]) as tf.Tensor4D;
    return [
      tf.conv2d(image(x), tf.ones([2, 2, 1, 1]), 1, 'same'),
      tf.depthwiseConv2d(image(x), flat, 1, 'valid'),
      tf.conv3d(video(x), tf.ones([2, 1, 1, 1, 1]), 1, 'valid'),
      tf.conv2dTranspose(image(x), tf.ones([2, 2, 1, 1]), [1, 5, 5, 1], 1, 'valid'),
      tf.dilation2d(image(y), tf.zeros([2, 2, 1]), 1, 'valid'),
    ];
  },
  'fused convolutions': (x, y) => [
    tf.fused.conv2d({
      ...{ x: image(x), filter: tf.ones([2, 2, 1, 1]), strides: 1, pad: 'same' },
      ...{ bias: tf.ones([1]), activation: 'relu' },
    }),
    tf.fused.depthwiseConv2d({
      ...{ x: image(y), filter: tf.ones([2, 2, 1, 1]), strides: 1, pad: 'same' },
      ...{ bias: tf.ones([1]), activation: 'relu6' },
    }),
  ],
  'gradients of convolutions': (x) => [
    ...tf.grads((a, w) => tf.square(tf.conv2d(as4(a), as4(w), 1, 'valid')))([
      image(x),
      tf.ones([2, 2, 1, 1]),
    ]),
    ...tf.grads((a, w) => tf.square(tf.depthwiseConv2d(as4(a), as4(w), 1, 'valid')))([
      image(x),
      tf.ones([2, 2, 1, 1]),
    ]),
    ...tf.grads((a, w) => tf.square(tf.conv3d(as5(a), as5(w), 1, 'valid')))([
      video(x),
      tf.ones([2, 1, 1, 1, 1]),
    ]),
  ],
  'gradients of pools': (x) => [
    tf.grad((a: tf.Tensor) => tf.square(tf.avgPool(as4(a), 2, 2, 'valid')))(image(x)),
    tf.grad((a: tf.Tensor) => tf.square(tf.avgPool3d(as5(a), 2, 2, 'valid')))(video(x)),
    tf.grad((a: tf.Tensor) => tf.square(tf.maxPool(as4(a), 2, 2, 'valid')))(image(x)),
    tf.grad((a: tf.Tensor) => tf.square(tf.maxPool3d(as5(a), 2, 2, 'valid')))(video(x)),
  ],
  'the gradient of normalisation': (x) => [
    tf.grad((a: tf.Tensor) => tf.localResponseNormalization(as4(a), 1))(tf.reshape(x, [1, 2, 2, 4])),
  ],
  attention: (x, y) => {
    const heads = (each: tf.Tensor) => tf.reshape(each, [1, 4, 2, 2]);
    const f = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) => scaledDotProductAttention(q, k, v);
    const [q, k, v] = [heads(y), tf.ones([1, 4, 2, 2]), heads(x)];
    return [f(v, k, k), f(k, q, k), f(k, k, v), ...tf.grads(f)([k, k, v])];
  },
  making: (x) => [
    tf.fill([2, 2], N),
    tf.diag(tf.slice(tf.reshape(x, [-1]), [0], [4])),
    tf.oneHot(tf.tensor1d([0, 1], 'int32'), 2, N, 0, 'float32'),
    tf.oneHot(tf.tensor1d([0, 1], 'int32'), 2, N, 3),
  ],
  transforming: (x) => tf.image.transform(image(x), tf.tensor2d([[1, 0, 1, 0, 1, 0, 0, 0]])),
  pools: (x) => [
    tf.avgPool(image(x), 2, 1, 'valid'),
    tf.avgPool3d(video(x), 2, 1, 'valid'),
    tf.maxPool(image(x), 2, 2, 'valid'),
    tf.maxPool3d(video(x), 2, 1, 'valid'),
    ...Object.values(tf.maxPoolWithArgmax(image(x), 2, 2, 'valid')),
  ],
  normalisation: (x) => [
    tf.batchNorm(x, tf.zeros([4]), tf.ones([4]), tf.zeros([4]), tf.ones([4])),
    tf.localResponseNormalization(tf.reshape(x, [1, 2, 2, 4]) as tf.Tensor4D, 1),
  ],
  pixels: (x) => [
    tf.image.resizeNearestNeighbor(image(x), [2, 8]),
    tf.image.cropAndResize(image(x), tf.tensor2d([[0, 0, 1, 1]]), tf.tensor1d([0], 'int32'), [2, 2]),
    tf.image.rotateWithOffset(tf.tile(image(x), [1, 1, 1, 3]) as tf.Tensor4D, 0.3),
  ],
  // Which part of a number NaN reaches depends on the algorithm; its size tells.
  spectra: (x) => [
    tf.abs(tf.spectral.rfft(x)),
    tf.abs(tf.complex(x, x)),
    tf.abs(tf.spectral.ifft(tf.complex(x, x))),
  ],
} satisfies Record<string, Fn>);

const values = (result: tf.Tensor | tf.Tensor[]) =>
  (Array.isArray(result) ? result : [result]).map((each) => [...each.dataSync()]);

const inputs = () => [X, Y, Z].map((data) => tf.tensor2d(data, [4, 4])) as [tf.Tensor, tf.Tensor, tf.Tensor];

/** Where tfjs-backend-cpu is no guide: what comes, and why. */
const others: [name: string, why: string, fn: () => tf.Tensor[], expected: number[][]][] = [
  [
    'floorDiv',
    'tfjs-backend-cpu makes integers of it',
    () => [tf.floorDiv(tf.tensor1d([N, 3]), tf.tensor1d([1, N]))],
    [[N, N]],
  ],
  [
    'pow',
    '1 to any power and anything to the power of 0 are 1, as in C and numpy',
    () => [tf.pow(tf.tensor1d([1, N, 2, N]), tf.tensor1d([N, 0, N, 1]))],
    [[1, 1, N, N]],
  ],
  [
    'argMax and argMin',
    'NaN never wins, not even in the first place; alone it is the first of equals',
    () => {
      const x = tf.tensor2d([N, 2, 1, 1, N, 3, N, N, N, N, Number.NEGATIVE_INFINITY, N, 5, 5, N], [5, 3]);
      return [tf.argMax(x, 1), tf.argMin(x, 1), tf.argMax(tf.reverse(x, 1), 1)];
    },
    [
      [1, 2, 0, 1, 0],
      [2, 0, 0, 1, 0],
      [1, 0, 0, 1, 1],
    ],
  ],
  [
    'topk',
    'NaN comes last, as it never wins in argMax',
    () => Object.values(tf.topk(tf.tensor2d([1, N, 3, N, N, 2], [2, 3]), 3)),
    [
      [3, 1, N, 2, N, N],
      [2, 0, 1, 2, 0, 1],
    ],
  ],
  [
    'unsortedSegmentSum',
    'it stays in its segment, where tfjs-backend-cpu multiplies it by zero for the others',
    () => [tf.unsortedSegmentSum(tf.tensor1d([1, N, 3]), tf.tensor1d([0, 1, 0], 'int32'), 3)],
    [[4, N, 0]],
  ],
  [
    'broadcastTo',
    'tfjs-backend-cpu lacks the kernel',
    () => [kernelOf(tf.BroadcastTo, { x: tf.tensor1d([1, N]) }, { shape: [2, 2], inputShape: [2] })],
    [[1, N, 1, N]],
  ],
  [
    'the softmax kernels and storage types',
    'tfjs-core reaches these kernels by others',
    () => [
      kernelOf(tf.LogSoftmax, { logits: tf.tensor2d([1, N], [1, 2]) }, { axis: 1 }),
      cast(cast(tf.tensor1d([1, N]), 'bfloat16'), 'float32'),
      cast(tf.maximum(cast(tf.tensor1d([1, N]), 'float16'), cast(tf.tensor1d([N, 1]), 'float16')), 'float32'),
    ],
    [
      [N, N],
      [1, N],
      [N, N],
    ],
  ],
  [
    'resizeBilinear',
    'a product with tables: it spreads along its row and column',
    () => [tf.image.resizeBilinear(tf.tensor4d([1, N, 3, 4], [1, 2, 2, 1]), [2, 2])],
    [[N, N, N, N]],
  ],
];

/** Kernels that NaN is not tried with, and why. */
const untouched: Readonly<Record<string, readonly string[]>> = {
  'take integers or booleans': ['BitwiseAnd', 'BroadcastArgs', 'LogicalXor'],
  'draw random numbers': ['Multinomial', 'KeyedRandomNormal', 'KeyedRandomUniform', 'RandomKeyFoldIn'],
  'are made of JavaScript numbers': ['LinSpace', 'Range'],
  'takes sorted numbers': ['SearchSorted'],
  'passes its inputs on': ['XlaBarrier'],
  'choose a winner first, as the kernel that they are the gradients of': [
    'Dilation2DBackpropFilter',
    'Dilation2DBackpropInput',
  ],
  'are products with tables, as resizeBilinear is': ['ResizeBilinearGrad', 'ResizeNearestNeighborGrad'],
  'run on the host': [
    ...['NonMaxSuppressionV3', 'NonMaxSuppressionV4', 'NonMaxSuppressionV5', 'Unique', 'RaggedGather'],
    ...['RaggedRange', 'RaggedTensorToTensor', 'SparseFillEmptyRows', 'SparseReshape', 'SparseSegmentMean'],
    ...['SparseSegmentSum', 'StaticRegexReplace', 'StringNGrams', 'StringSplit', 'StringToHashBucketFast'],
  ],
};

const ran = new Set<string>();

describe('NaN', () => {
  beforeAll(() => {
    for (const config of tf.getKernelsForBackend('xla')) {
      const { kernelName, kernelFunc } = config;
      config.kernelFunc = (args) => {
        ran.add(kernelName);
        return kernelFunc(args);
      };
    }
  });

  it.each(Object.entries(cases))('%s', async (name, fn) => {
    await tf.setBackend('cpu');
    const expected = tf.tidy(() => values(fn(...inputs())));
    await tf.setBackend('xla');
    for (const run of [fn, jit(fn)]) {
      const actual = tf.tidy(() => values(run(...inputs())));
      expect(actual.length).toBe(expected.length);
      for (const [i, list] of actual.entries()) {
        const where = `${name}, result ${i}`;
        expect(list.map(Number.isNaN), where).toEqual(expected[i]!.map(Number.isNaN));
        for (const [k, v] of list.entries())
          if (!Number.isNaN(v) && v !== expected[i]![k])
            expect(v, `${where} at ${k}`).toBeCloseTo(expected[i]![k]!, 4);
      }
    }
  });

  it.each(others)('%s: %s', (_, __, fn, expected) => {
    for (const run of [fn, jit(fn)]) expect(tf.tidy(() => values(run()))).toEqual(expected);
  });

  it('is tried with every kernel', () => {
    const missing = tf
      .getKernelsForBackend('xla')
      .flatMap(({ kernelName }) => (ran.has(kernelName) ? [] : [kernelName]));
    expect(missing.sort()).toEqual(Object.values(untouched).flat().sort());
  });
});
