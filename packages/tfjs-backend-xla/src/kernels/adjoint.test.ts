/** Linear operations and their gradients: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩ for every linear kernel and its options. */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import '../index';
import { jit, scaledDotProductAttention } from '@flow-grpo/tfjs-jit';

beforeAll(async () => {
  expect(await tf.setBackend('xla')).toBe(true);
});

type Fn = (x: tf.Tensor) => tf.Tensor | tf.Tensor[];
/** Linear functions of one kind, compiled together where they take the same shape. */
interface Family {
  readonly shape: number[];
  readonly members: Record<string, Fn>;
}

const as3 = (x: tf.Tensor) => x as tf.Tensor3D;
const as4 = (x: tf.Tensor) => x as tf.Tensor4D;
const as5 = (x: tf.Tensor) => x as tf.Tensor5D;
const ints = (...values: number[]) => tf.tensor1d(values, 'int32');
const flags = [false, true];

/** Numbers that are the same at every run. */
function draw(shape: readonly number[], seed: number): tf.Tensor {
  let state = seed >>> 0;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  return tf.tensor(Float32Array.from({ length: tf.util.sizeFromShape([...shape]) }, next), [...shape]);
}

const families: Record<string, Family[]> = {};
/** Adds a function of [shape] to the family called by the first words of its name, before the comma. */
function linear(name: string, shape: number[], fn: Fn): void {
  families[name.split(',')[0]!] ??= [];
  const family = families[name.split(',')[0]!]!;
  let found = family.find((each) => `${each.shape}` === `${shape}`);
  if (!found) {
    found = { shape, members: {} };
    family.push(found);
  }
  found.members[name] = fn;
}

// Pixels.
for (const [kind, resize] of [
  ['resizeBilinear', tf.image.resizeBilinear],
  ['resizeNearestNeighbor', tf.image.resizeNearestNeighbor],
] as const) {
  for (const [centres, align, half] of [
    ['top left', false, false],
    ['corners aligned', true, false],
    ['half-pixel centres', false, true],
  ] as const) {
    for (const [from, to] of [
      [
        [3, 4],
        [5, 7],
      ],
      [
        [7, 5],
        [3, 2],
      ],
      [
        [2, 2],
        [4, 4],
      ],
      [
        [1, 3],
        [4, 1],
      ],
      // Too long for tables.
      [
        [2, 1100],
        [3, 900],
      ],
    ] as [[number, number], [number, number]][])
      linear(`${kind}, ${centres}, [${from}] to [${to}]`, [2, ...from, 2], (x) =>
        resize(as4(x), to, align, half),
      );
  }
}

// Convolutions, in the image and in the kernel.
type Pad = Parameters<typeof tf.conv2d>[3];
const pads: [string, Pad][] = [
  ['same', 'same'],
  ['valid', 'valid'],
  ['padded by 1', 1],
  [
    'padded unevenly',
    [
      [0, 0],
      [1, 2],
      [0, 1],
      [0, 0],
    ],
  ],
];
for (const [name, pad] of pads) {
  for (const strides of [1, 2, [2, 1]] as (number | [number, number])[]) {
    const what = `${name}, strides ${strides}`;
    const filter = () => as4(draw([3, 2, 3, 2], 5));
    const image = () => as4(draw([2, 6, 5, 3], 6));
    linear(`conv2d of the image, ${what}`, [2, 6, 5, 3], (x) => tf.conv2d(as4(x), filter(), strides, pad));
    linear(`conv2d of the kernel, ${what}`, [3, 2, 3, 2], (w) => tf.conv2d(image(), as4(w), strides, pad));
  }
}
for (const pad of ['same', 'valid'] as const) {
  linear(`conv2d, channels first, ${pad}`, [2, 3, 6, 5], (x) =>
    tf.conv2d(as4(x), as4(draw([3, 3, 3, 2], 5)), 2, pad, 'NCHW'),
  );
  for (const strides of [1, 2]) {
    const what = `${pad}, strides ${strides}`;
    linear(`depthwiseConv2d of the image, ${what}`, [2, 6, 5, 3], (x) =>
      tf.depthwiseConv2d(as4(x), as4(draw([3, 2, 3, 2], 5)), strides, pad),
    );
    linear(`depthwiseConv2d of the kernel, ${what}`, [3, 2, 3, 2], (w) =>
      tf.depthwiseConv2d(as4(draw([2, 6, 5, 3], 6)), as4(w), strides, pad),
    );
    linear(`conv3d of the video, ${what}`, [1, 4, 5, 4, 2], (x) =>
      tf.conv3d(as5(x), as5(draw([2, 3, 2, 2, 3], 5)), strides, pad),
    );
    linear(`conv3d of the kernel, ${what}`, [2, 3, 2, 2, 3], (w) =>
      tf.conv3d(as5(draw([1, 4, 5, 4, 2], 6)), as5(w), strides, pad),
    );
    const size = pad === 'same' ? 4 * strides : 3 * strides + 3;
    linear(`conv2dTranspose of the image, ${what}`, [1, 4, 4, 2], (x) =>
      tf.conv2dTranspose(as4(x), as4(draw([3, 3, 3, 2], 5)), [1, size, size, 3], strides, pad),
    );
    linear(`conv2dTranspose of the kernel, ${what}`, [3, 3, 3, 2], (w) =>
      tf.conv2dTranspose(as4(draw([1, 4, 4, 2], 6)), as4(w), [1, size, size, 3], strides, pad),
    );
  }
}

// Averages of windows.
for (const pad of ['same', 'valid', 1] as const) {
  for (const [window, strides] of [
    [2, 1],
    [3, 2],
    [2, 3],
  ] as const) {
    linear(`avgPool, ${window}, strides ${strides}, ${pad}`, [2, 6, 7, 2], (x) =>
      tf.avgPool(as4(x), window, strides, pad, pad === 1 ? 'floor' : undefined),
    );
    if (pad !== 1)
      linear(`avgPool3d, ${window}, strides ${strides}, ${pad}`, [1, 5, 4, 6, 2], (x) =>
        tf.avgPool3d(as5(x), window, strides, pad),
      );
  }
}

// Products.
for (const transposeA of flags) {
  for (const transposeB of flags) {
    for (const [left, right] of [
      [[], []],
      [[3], [3]],
      [[2, 3], [3]],
      [[1], [4]],
      [[], [3]],
    ]) {
      const a = [...left!, ...(transposeA ? [4, 2] : [2, 4])];
      const b = [...right!, ...(transposeB ? [5, 4] : [4, 5])];
      const what = `${a} by ${b}`;
      linear(`matMul, of the left, ${what}`, a, (x) => tf.matMul(x, draw(b, 3), transposeA, transposeB));
      linear(`matMul, of the right, ${what}`, b, (y) => tf.matMul(draw(a, 4), y, transposeA, transposeB));
    }
  }
}
linear('attention, in its values', [2, 5, 2, 4], (v) =>
  scaledDotProductAttention(draw([2, 3, 2, 4], 1), draw([2, 5, 2, 4], 2), v),
);

// Elements that move or repeat.
for (const [axis, batchDims, indices] of [
  [0, 0, [5]],
  [1, 0, [2, 2]],
  [-1, 0, [3]],
  [1, 1, [2, 4]],
  [2, 1, [2, 4]],
  [2, 1, [2, 2, 3]],
  [2, 2, [2, 3, 5]],
  [1, -1, [2, 4]],
  [3, 2, [2, 3, 2]],
] as [number, number, number[]][]) {
  const shape = [2, 3, 4, 2];
  const rows = shape.at(axis)!;
  linear(`gather, along ${axis}, ${batchDims} batch axes, indices [${indices}]`, shape, (x) => {
    const at = Int32Array.from({ length: tf.util.sizeFromShape(indices) }, (_, i) => (7 * i + 1) % rows);
    return tf.gather(x, tf.tensor(at, indices, 'int32'), axis, batchDims);
  });
}
linear('unsortedSegmentSum', [5, 2], (x) => tf.unsortedSegmentSum(x, ints(2, 0, 2, 3, 0), 4));
linear('slice', [4, 3, 5], (x) => tf.slice(x, [1, 0, 2], [2, -1, 2]));
linear('transpose', [2, 3, 4, 2], (x) => tf.transpose(x, [2, 0, 3, 1]));
linear('reverse', [2, 3, 4], (x) => tf.reverse(x, [0, -1]));
linear('pad', [2, 3], (x) =>
  tf.pad(x, [
    [1, 0],
    [0, 2],
  ]),
);
for (const reps of [[3], [2, 3], [1, 2, 3], [2, 1, 2, 2]])
  linear(`tile, by [${reps}]`, [2, 3, 2, 3].slice(0, reps.length), (x) => tf.tile(x, reps));
linear('concat', [2, 3], (x) => tf.concat([x, tf.zeros([2, 2]), x], 1));
linear('split', [2, 5], (x) => tf.split(x, [2, 3], 1));
linear('split, into one', [2, 5], (x) => tf.split(x, 1, 1));
linear('stack', [2, 3], (x) => tf.stack([x, tf.zeros([2, 3]), x], 1));
linear('unstack', [2, 3], (x) => tf.unstack(x, 1));
linear('reshape', [2, 6], (x) => tf.reshape(x, [3, 4]));
linear('expandDims and squeeze', [2, 1, 3], (x) => tf.squeeze(tf.expandDims(x, 0), [2]));
linear(
  'broadcastTo',
  [3, 1, 2],
  (x) => tf.engine().runKernel(tf.BroadcastTo, { x }, { shape: [3, 4, 2], inputShape: x.shape }) as tf.Tensor,
);
for (const crops of [
  [0, 0],
  [1, 0],
]) {
  linear(`batchToSpaceND, crops [${crops}]`, [4, 2, 3, 1], (x) =>
    tf.batchToSpaceND(x, [2, 2], [crops as number[], [0, 1]]),
  );
}
linear('spaceToBatchND', [1, 4, 3, 2], (x) =>
  tf.spaceToBatchND(
    x,
    [2, 2],
    [
      [0, 0],
      [1, 0],
    ],
  ),
);
linear('where', [2, 3], (x) => {
  const condition = tf.tensor2d([1, 0, 1, 0, 1, 1], [2, 3], 'bool');
  return [tf.where(condition, x, tf.zeros([2, 3])), tf.where(condition, tf.zeros([2, 3]), x)];
});

// Sums.
for (const exclusive of flags)
  for (const reverse of flags)
    for (const axis of [0, 1, -1])
      linear(`cumsum, along ${axis}, exclusive ${exclusive}, reverse ${reverse}`, [3, 4, 2], (x) =>
        tf.cumsum(x, axis, exclusive, reverse),
      );
for (const keep of flags)
  for (const axes of [undefined, 1, [0, -1]])
    linear(`sum and mean, over ${axes}, kept ${keep}`, [2, 3, 4], (x) => [
      tf.sum(x, axes, keep),
      tf.mean(x, axes, keep),
    ]);
linear('addN', [2, 3], (x) => tf.addN([x, x, tf.zeros([2, 3])]));
linear('add, sub, neg, broadcast', [1, 3], (x) => [
  tf.add(x, tf.zeros([2, 3])),
  tf.sub(tf.zeros([2, 3]), x),
  tf.neg(x),
]);
linear('mul and div by constants', [3, 1], (x) => [tf.mul(x, draw([3, 4], 7)), tf.div(x, tf.range(2, 6))]);
linear('cast and clone', [2, 3], (x) => tf.clone(tf.cast(x, 'float32')));
linear('batchNorm of x', [2, 3, 4], (x) =>
  tf.batchNorm(as3(x), tf.zeros([4]), tf.ones([4]), tf.zeros([4]), tf.range(1, 5)),
);

/** Gradients of kernels that are linear in one of their inputs; those of all others are in gradients.test.ts alone. */
const LINEAR = [
  ...['Add', 'AddN', 'Sub', 'Neg', 'Multiply', 'RealDiv', 'Sum', 'Mean', 'Cumsum', 'UnsortedSegmentSum'],
  ...['BatchMatMul', 'Conv2D', 'Conv2DBackpropInput', 'Conv3D', 'DepthwiseConv2dNative'],
  ...['AvgPool', 'AvgPool3D', 'ResizeBilinear', 'ResizeNearestNeighbor', 'FusedBatchNorm'],
  ...[
    'BatchToSpaceND',
    'SpaceToBatchND',
    'BroadcastTo',
    'Cast',
    'Identity',
    'Concat',
    'SplitV',
    'ExpandDims',
  ],
  ...['Reshape', 'GatherV2', 'Pack', 'Unpack', 'PadV2', 'Reverse', 'Select', 'Slice', 'Tile', 'Transpose'],
];
const notLinear = new Set([
  ...['Abs', 'Acos', 'Acosh', 'Asin', 'Asinh', 'Atan', 'Atan2', 'Atanh', 'Ceil', 'ClipByValue', 'ComplexAbs'],
  ...['Cos', 'Cosh', 'Dilation2D', 'Elu', 'Erf', 'Exp', 'Expm1', 'Floor', 'FloorDiv', 'GreaterEqual', 'LRN'],
  ...['LeakyRelu', 'Log', 'Log1p', 'LogSoftmax', 'Max', 'MaxPool', 'MaxPool3D', 'Maximum', 'Min', 'Minimum'],
  ...[
    'Mod',
    'Pow',
    'Prelu',
    'Prod',
    'Reciprocal',
    'Relu',
    'Relu6',
    'Round',
    'Rsqrt',
    'Selu',
    'Sigmoid',
    'Sign',
  ],
  ...['Sin', 'Sinh', 'Softmax', 'Softplus', 'Sqrt', 'Square', 'SquaredDifference', 'Step', 'Tan', 'Tanh'],
  // Whole numbers and booleans, whose gradients are zero.
  ...['ArgMax', 'ArgMin', 'IsFinite', 'IsInf', 'IsNan', 'OneHot', 'OnesLike', 'ZerosLike'],
  // tfjs-core leaves out what the mirrored copies contribute, and its own suite wants it so.
  'MirrorPad',
]);

const norm = (values: Iterable<number>) => Math.hypot(...values);
const dot = (x: ArrayLike<number>, y: ArrayLike<number>) => {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!;
  return sum;
};

const ran = new Set<string>();

describe('gradients of linear operations are their transposes', () => {
  beforeAll(() => {
    for (const name of LINEAR) {
      const config = tf.getGradient(name);
      const { gradFunc } = config;
      config.gradFunc = (...args) => {
        ran.add(name);
        return gradFunc(...args);
      };
    }
  });

  it.each(Object.entries(families))('%s', (_, family) => {
    for (const { shape, members } of family) {
      tf.tidy(() => {
        const x = draw(shape, 1);
        const results = jit((at: tf.Tensor) =>
          Object.values(members).map((fn) => {
            const flat = (z: tf.Tensor) => {
              const y = fn(z);
              return tf.concat((Array.isArray(y) ? y : [y]).map((each) => tf.reshape(each, [-1])));
            };
            const ax = flat(at);
            const y = draw(ax.shape, 11);
            return [ax, y, tf.grad(flat)(at, y)];
          }),
        )(x) as [tf.Tensor, tf.Tensor, tf.Tensor][];
        for (const [i, name] of Object.keys(members).entries()) {
          const [ax, y, aty] = results[i]!.map((each) => each.dataSync() as Float32Array);
          expect([name, results[i]![2].shape]).toEqual([name, shape]);
          const scale = norm(ax!) * norm(y!);
          expect(scale, name).toBeGreaterThan(0);
          expect(Math.abs(dot(ax!, y!) - dot(x.dataSync(), aty!)), name).toBeLessThan(1e-6 * scale);
        }
      });
    }
  });

  it('are tested for every linear kernel', () => {
    expect(LINEAR.filter((name) => !ran.has(name))).toEqual([]);
    const names = Object.entries(tf).flatMap(([key, value]) => (key === value ? [key] : []));
    const registered = names.filter((name) => tf.getGradient(name) !== undefined);
    expect(registered.filter((name) => !LINEAR.includes(name) && !notLinear.has(name))).toEqual([]);
  });
});
