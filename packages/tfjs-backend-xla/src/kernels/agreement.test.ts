import '../index';
import { expectClose } from '@flow-grpo/test-support';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(async () => {
  expect(await tf.setBackend('xla')).toBe(true);
});

/** The same draws at every run; `FC_SEED=7 npx vitest run src/kernels/agreement.test.ts` looks elsewhere. */
const PROPERTY = { numRuns: 3, seed: Number(process.env.FC_SEED || 1) };

/** One draw of an operation: its inputs' shapes, and what it does with them. */
interface Draw {
  readonly shapes: readonly (readonly number[])[];
  readonly run: (...xs: tf.Tensor[]) => tf.Tensor | tf.Tensor[];
}

/** Draws numbers of a seed; each case makes its own shapes and options of them. */
class Dice {
  constructor(private state: number) {}

  private next(): number {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
    return this.state / 2 ** 32;
  }
  /** A whole number from `low` to `high`. */
  int(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }
  of<T>(...choices: readonly T[]): T {
    return choices[this.int(0, choices.length - 1)]!;
  }
  flip(): boolean {
    return this.next() < 0.5;
  }
  shape(low: number, high: number, extent = 5): number[] {
    return Array.from({ length: this.int(low, high) }, () => this.int(1, extent));
  }
  floats(size: number, scale = 2): Float32Array {
    return Float32Array.from({ length: size }, () => (2 * this.next() - 1) * scale);
  }
  ints(size: number, high: number): Int32Array {
    return Int32Array.from({ length: size }, () => this.int(0, high));
  }
}

const as3 = (x: tf.Tensor | undefined) => x as tf.Tensor3D;
const as4 = (x: tf.Tensor | undefined) => x as tf.Tensor4D;
const as5 = (x: tf.Tensor | undefined) => x as tf.Tensor5D;
const same = (d: Dice) => d.of('same' as const, 'valid' as const);
const one = (shape: number[], run: (x: tf.Tensor) => tf.Tensor | tf.Tensor[]): Draw => ({
  shapes: [shape],
  run: (x) => run(x!),
});
const image = (d: Dice, channels: number, low = 4) => [d.int(1, 2), d.int(low, 9), d.int(low, 9), channels];
/** Shapes that broadcast with one another. */
const broadcast = (d: Dice): number[][] => {
  const full = d.shape(1, 4);
  const other = full.map((extent) => (d.flip() ? extent : 1)).slice(d.int(0, full.length - 1));
  return d.flip() ? [full, other] : [other, full];
};
const axesOf = (d: Dice, rank: number) => [...Array(rank).keys()].filter(() => d.flip());

const cases: Record<string, (d: Dice) => Draw> = {
  'binary operations': (d) => ({
    shapes: broadcast(d),
    run: (x, y) => [
      tf.add(x!, y!),
      tf.sub(x!, y!),
      tf.mul(x!, y!),
      tf.div(x!, tf.add(tf.abs(y!), 0.5)),
      tf.maximum(x!, y!),
      tf.minimum(x!, y!),
      tf.squaredDifference(x!, y!),
      tf.pow(tf.abs(x!), y!),
      tf.mod(x!, tf.add(tf.abs(y!), 0.5)),
      tf.atan2(x!, y!),
      tf.less(x!, y!),
      tf.greaterEqual(x!, y!),
      tf.logicalXor(tf.less(x!, 0), tf.less(y!, 0)),
    ],
  }),
  'integer division and remainders': (d) => {
    const [a, b] = broadcast(d) as [number[], number[]];
    const whole = (shape: number[], low: number) =>
      tf.sub(tf.tensor(d.ints(tf.util.sizeFromShape(shape), 20), shape, 'int32'), tf.scalar(low, 'int32'));
    return {
      shapes: [],
      run: () => {
        const [x, y] = [whole(a, 10), tf.add(whole(b, 0), tf.scalar(1, 'int32'))];
        return [tf.floorDiv(x, y), tf.mod(x, y), tf.mul(x, y), tf.maximum(x, y), tf.cast(x, 'bool')];
      },
    };
  },
  'rounding, signs and casts': (d) =>
    one(d.shape(0, 4), (x) => [
      tf.round(x),
      tf.floor(x),
      tf.ceil(x),
      tf.sign(x),
      tf.step(x, 0.2),
      tf.cast(x, 'int32'),
      tf.cast(x, 'bool'),
    ]),
  reductions: (d) => {
    const shape = d.shape(1, 4);
    const axes = axesOf(d, shape.length);
    const keep = d.flip();
    return one(shape, (x) => [
      tf.sum(x, axes, keep),
      tf.mean(x, axes, keep),
      tf.max(x, axes, keep),
      tf.min(x, axes, keep),
      tf.prod(x, axes, keep),
      tf.any(tf.less(x, 0), axes, keep),
      tf.all(tf.less(x, 0), axes, keep),
      tf.logSumExp(x, axes, keep),
    ]);
  },
  'argMax, cumulative sums and products, topk': (d) => {
    const shape = d.shape(1, 4);
    const axis = d.int(0, shape.length - 1);
    const [exclusive, reverse] = [d.flip(), d.flip()];
    const k = d.int(1, shape.at(-1)!);
    return one(shape, (x) => [
      tf.argMax(x, axis),
      tf.argMin(x, axis),
      tf.cumsum(x, axis, exclusive, reverse),
      tf.cumprod(x, axis, exclusive, reverse),
      ...Object.values(tf.topk(x, k)),
    ]);
  },
  matMul: (d) => {
    const [transposeA, transposeB] = [d.flip(), d.flip()];
    const [m, k, n] = [d.int(1, 6), d.int(1, 6), d.int(1, 6)];
    const batch = d.shape(0, 2, 3);
    // All or nothing: tfjs-backend-cpu takes the wrong matrices where a single batch axis is broadcast.
    const other = d.flip() ? batch : batch.map(() => 1);
    return {
      shapes: [
        [...batch, ...(transposeA ? [k, m] : [m, k])],
        [...other, ...(transposeB ? [n, k] : [k, n])],
      ],
      run: (x, y) => tf.matMul(x!, y!, transposeA, transposeB),
    };
  },
  einsum: (d) => {
    const [i, j, k, b] = [d.int(1, 4), d.int(1, 4), d.int(1, 4), d.int(1, 3)];
    const [equation, shapes] = d.of<[string, number[][]]>(
      [
        'ij,jk->ik',
        [
          [i, j],
          [j, k],
        ],
      ],
      [
        'bij,bkj->bik',
        [
          [b, i, j],
          [b, k, j],
        ],
      ],
      ['ij->ji', [[i, j]]],
      ['bij->b', [[b, i, j]]],
      [
        'ij,ij->',
        [
          [i, j],
          [i, j],
        ],
      ],
    );
    return { shapes, run: (...xs) => tf.einsum(equation, ...xs) };
  },
  'reshaping, transposing, reversing, tiling': (d) => {
    const shape = d.shape(1, 4, 4);
    const order = [...Array(shape.length).keys()];
    if (d.flip()) order.reverse();
    const axes = axesOf(d, shape.length);
    const reps = shape.map(() => d.int(1, 2));
    const pads = shape.map(() => [d.int(0, 2), d.int(0, 2)] as [number, number]);
    return one(shape, (x) => [
      tf.transpose(x, order),
      tf.reverse(x, axes.length > 0 ? axes : [0]),
      tf.tile(x, reps),
      tf.pad(x, pads, 0.5),
      tf.expandDims(x, 0),
      tf.concat([x, x], order[0]),
      tf.stack([x, x], order.length),
      ...tf.unstack(x, order[0]),
    ]);
  },
  'strided slices': (d) => {
    const shape = d.shape(1, 4, 6);
    const sign = shape.map(() => d.of(1, -1));
    const begin = shape.map((extent) => d.int(0, extent - 1));
    const end = shape.map((extent, i) => (sign[i]! > 0 ? d.int(begin[i]!, extent) : d.int(0, begin[i]!)));
    const strides = sign.map((s) => s * d.int(1, 3));
    const [beginMask, endMask] = [d.int(0, 3), d.int(0, 3)];
    // tfjs-backend-cpu forgets the begin of reversed axes where another one is dropped.
    const shrinkMask = shape.length > 1 && strides[0] === 1 && sign.every((s) => s > 0) && d.flip() ? 1 : 0;
    return one(shape, (x) => tf.stridedSlice(x, begin, end, strides, beginMask, endMask, 0, 0, shrinkMask));
  },
  'slices and splits': (d) => {
    const shape = d.shape(1, 4, 6);
    const begin = shape.map((extent) => d.int(0, extent - 1));
    const size = shape.map((extent, i) => d.int(1, extent - begin[i]!));
    const axis = d.int(0, shape.length - 1);
    const first = d.int(0, shape[axis]!);
    return one(shape, (x) => [tf.slice(x, begin, size), ...tf.split(x, [first, shape[axis]! - first], axis)]);
  },
  'gather and scatter': (d) => {
    const shape = d.shape(1, 4);
    const axis = d.int(0, shape.length - 1);
    const indices = d.shape(1, 2, 4);
    const count = tf.util.sizeFromShape(indices);
    const at = d.ints(count, shape[axis]! - 1);
    const depth = d.int(1, shape.length);
    const rows = d.int(1, 4);
    const points = Int32Array.from({ length: rows * depth }, (_, i) => d.int(0, shape[i % depth]! - 1));
    return one(shape, (x) => {
      const where = tf.tensor2d(points, [rows, depth], 'int32');
      const updates = tf.add(
        tf.zeros([rows, ...shape.slice(depth)]),
        tf.reshape(tf.range(0, rows), [rows, ...shape.slice(depth).map(() => 1)]),
      );
      return [
        tf.gather(x, tf.tensor(at, indices, 'int32'), axis),
        tf.gatherND(x, where),
        tf.scatterND(where, updates, shape),
      ];
    });
  },
  'segments, bins and sorted search': (d) => {
    const rows = d.int(1, 8);
    const segments = d.int(2, 4);
    const ids = d.ints(rows, segments - 1);
    const side = d.of('left' as const, 'right' as const);
    return {
      shapes: [[rows, d.int(1, 3)], [rows]],
      run: (x, weights) => [
        tf.unsortedSegmentSum(x!, tf.tensor1d(ids, 'int32'), segments),
        tf.bincount(tf.tensor1d(ids, 'int32'), weights as tf.Tensor1D, segments + 1),
        tf.oneHot(tf.tensor1d(ids, 'int32'), segments, 2, -1),
        tf.searchSorted(tf.tensor1d([-1, 0, 1]), weights!, side),
      ],
    };
  },
  conv2d: (d) => {
    const [input, output] = [d.int(1, 4), d.int(1, 4)];
    const dilation = d.of(1, 2);
    const stride = dilation > 1 ? 1 : d.int(1, 3);
    const pad = same(d);
    return {
      shapes: [image(d, input, 5), [d.int(1, 3), d.int(1, 3), input, output]],
      run: (x, w) => tf.conv2d(as4(x), as4(w), stride, pad, 'NHWC', dilation),
    };
  },
  'conv2d, gradients': (d) => {
    const [input, output] = [d.int(1, 4), d.int(1, 4)];
    const strides: [number, number] = [d.int(1, 3), d.int(1, 3)];
    const pad = same(d);
    return {
      shapes: [image(d, input, 5), [d.int(1, 3), d.int(1, 3), input, output]],
      run: (x, w) => tf.grads((a, b) => tf.sum(tf.square(tf.conv2d(as4(a), as4(b), strides, pad))))([x!, w!]),
    };
  },
  'depthwiseConv2d and its gradients': (d) => {
    const channels = d.int(1, 3);
    const dilation = d.of(1, 2);
    const stride = dilation > 1 ? 1 : d.int(1, 2);
    const pad = same(d);
    const f = (x: tf.Tensor, w: tf.Tensor) =>
      tf.depthwiseConv2d(as4(x), as4(w), stride, pad, 'NHWC', dilation);
    return {
      shapes: [image(d, channels, 5), [d.int(1, 3), d.int(1, 3), channels, d.int(1, 2)]],
      run: (x, w) => [
        f(x!, w!),
        ...(dilation > 1 ? [] : tf.grads((a, b) => tf.sum(tf.square(f(a!, b!))))([x!, w!])),
      ],
    };
  },
  'conv3d and its gradients': (d) => {
    const [input, output] = [d.int(1, 3), d.int(1, 3)];
    const stride = d.int(1, 2);
    const pad = same(d);
    const f = (x: tf.Tensor, w: tf.Tensor) => tf.conv3d(as5(x), as5(w), stride, pad);
    return {
      shapes: [
        [1, d.int(3, 5), d.int(3, 5), d.int(3, 5), input],
        [d.int(1, 3), d.int(1, 3), d.int(1, 3), input, output],
      ],
      run: (x, w) => [f(x!, w!), ...tf.grads((a, b) => tf.sum(tf.square(f(a!, b!))))([x!, w!])],
    };
  },
  conv2dTranspose: (d) => {
    const [input, output] = [d.int(1, 3), d.int(1, 3)];
    const stride = d.int(1, 3);
    const x = image(d, input, 2);
    const size = d.int(stride, stride + 1);
    return {
      shapes: [x, [size, size, output, input]],
      run: (y, w) =>
        tf.conv2dTranspose(as4(y), as4(w), [x[0]!, x[1]! * stride, x[2]! * stride, output], stride, 'same'),
    };
  },
  // tfjs-backend-cpu divides gradients of avgPool by the window's whole area, at padded borders too: no padding here.
  'pools and their gradients': (d) => {
    const window: [number, number] = [d.int(1, 3), d.int(1, 3)];
    const stride = d.int(1, 3);
    const pad = same(d);
    return one(image(d, d.int(1, 3)), (x) => [
      tf.maxPool(as4(x), window, stride, pad),
      tf.avgPool(as4(x), window, stride, pad),
      tf.grad((y: tf.Tensor) => tf.sum(tf.square(tf.maxPool(as4(y), window, stride, pad))))(x),
      tf.grad((y: tf.Tensor) => tf.sum(tf.square(tf.avgPool(as4(y), window, stride, 'valid'))))(x),
    ]);
  },
  'pools with indices and dilations': (d) => {
    const [window, stride] = [d.int(1, 3), d.int(1, 2)];
    return one([1, d.int(5, 8), d.int(5, 8), d.int(1, 3)], (x) => [
      ...Object.values(tf.maxPoolWithArgmax(as4(x), window, stride, 'valid')),
      tf.pool(as4(x), window, 'max', 'valid', 2),
      tf.pool(as4(x), window, 'avg', 'valid', 2),
    ]);
  },
  'pools in three dimensions': (d) => {
    const [window, stride, pad] = [d.int(1, 3), d.int(1, 2), same(d)];
    return one([1, d.int(3, 5), d.int(3, 5), d.int(3, 5), 2], (x) => [
      tf.maxPool3d(as5(x), window, stride, pad),
      tf.avgPool3d(as5(x), window, stride, pad),
      tf.grad((y: tf.Tensor) => tf.sum(tf.square(tf.avgPool3d(as5(y), window, stride, 'valid'))))(x),
    ]);
  },
  'resizing and the gradient of resizeBilinear': (d) => {
    // Two rows or more: tfjs-backend-cpu divides by zero where corners are aligned in a single one.
    const size: [number, number] = [d.int(2, 9), d.int(2, 9)];
    const mode = d.int(0, 2);
    const [align, half] = [mode === 1, mode === 2];
    // And it swaps height and width of the gradient.
    const side = d.int(2, 9);
    return {
      shapes: [image(d, d.int(1, 3), 2), [d.int(1, 2), side, side, d.int(1, 3)]],
      run: (x, square) => [
        tf.image.resizeBilinear(as4(x), size, align, half),
        tf.image.resizeNearestNeighbor(as4(x), size, align, half),
        ...(half
          ? []
          : [
              tf.grad((y: tf.Tensor) => tf.sum(tf.square(tf.image.resizeBilinear(as4(y), size, align))))(
                square!,
              ),
            ]),
      ],
    };
  },
  'image operations': (d) => {
    const boxes = d.floats(2 * 4, 1).map((v) => 0.5 + 0.5 * v);
    const method = d.of('bilinear' as const, 'nearest' as const);
    return one([2, d.int(3, 8), d.int(3, 8), 3], (x) => [
      tf.image.flipLeftRight(as4(x)),
      tf.image.rotateWithOffset(as4(x), 0.4, 0.25),
      tf.image.grayscaleToRGB(tf.slice(as4(x), [0, 0, 0, 0], [-1, -1, -1, 1])),
      tf.image.cropAndResize(
        as4(x),
        tf.tensor2d(boxes, [2, 4]),
        tf.tensor1d([0, 1], 'int32'),
        [4, 3],
        method,
      ),
    ]);
  },
  'blocks, depth and space, mirrors': (d) => {
    const block = d.int(2, 3);
    return one([1, block * d.int(1, 2), block * d.int(1, 2), block * block], (x) => [
      tf.depthToSpace(as4(x), block),
      tf.spaceToBatchND(
        x,
        [block, block],
        [
          [0, 0],
          [0, 0],
        ],
      ),
      tf.mirrorPad(
        x,
        [
          [0, 0],
          [1, 1],
          [0, 1],
          [2, 0],
        ],
        'symmetric',
      ),
      tf.mirrorPad(
        x,
        [
          [0, 0],
          [1, 1],
          [1, 0],
          [1, 2],
        ],
        'reflect',
      ),
    ]);
  },
  'normalisation and dilation': (d) => {
    const [channels, radius] = [d.int(1, 4), d.int(1, 2)];
    return {
      shapes: [image(d, channels, 3), [channels], [channels], [2, 2, channels]],
      run: (x, mean, scale, filter) => [
        tf.batchNorm(x!, mean!, tf.square(scale!), mean!, scale!),
        tf.localResponseNormalization(as4(x), radius, 1, 0.5, 0.6),
        tf.softmax(x!),
        tf.dilation2d(as4(x), as3(filter), 1, 'same'),
      ],
    };
  },
  'Fourier transforms': (d) => {
    const n = d.int(1, 9);
    return one([d.int(1, 3), n], (x) => {
      const spectrum = tf.spectral.rfft(x);
      const full = tf.spectral.fft(tf.complex(x, tf.mul(x, 0.5)));
      const back = tf.spectral.ifft(full);
      return [
        tf.real(spectrum),
        tf.imag(spectrum),
        tf.real(full),
        tf.imag(full),
        tf.real(back),
        tf.abs(full),
      ];
    });
  },
};

const numbers = (result: tf.Tensor | tf.Tensor[]) =>
  (Array.isArray(result) ? result : [result]).map((x) => ({
    shape: x.shape,
    dtype: x.dtype,
    values: [...x.dataSync()],
  }));

describe('kernels over random shapes and options', () => {
  it.each(Object.entries(cases))('%s: jit, eager and tfjs-backend-cpu agree', async (_, draw) => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 2 ** 31 - 1 }), async (seed) => {
        const results: ReturnType<typeof numbers>[] = [];
        for (const [backend, compile] of [
          ['cpu', false],
          ['xla', false],
          ['xla', true],
        ] as const) {
          await tf.setBackend(backend);
          const dice = new Dice(seed);
          const { shapes, run } = draw(dice);
          const data = shapes.map((shape) => dice.floats(tf.util.sizeFromShape([...shape])));
          tf.tidy(() => {
            const xs = data.map((values, i) => tf.tensor(values, [...shapes[i]!]));
            results.push(numbers(compile ? jit(run)(...xs) : run(...xs)));
          });
        }
        const [expected, ...others] = results as [(typeof results)[0], ...typeof results];
        for (const actual of others) {
          expect(actual.map(({ shape, dtype }) => ({ shape, dtype }))).toEqual(
            expected.map(({ shape, dtype }) => ({ shape, dtype })),
          );
          actual.forEach(({ values }, i) => {
            const scale = Math.max(1, ...expected[i]!.values.map(Math.abs));
            if (values.length > 0) expectClose(values, expected[i]!.values, 2e-4 * scale, `result ${i}`);
          });
        }
      }),
      PROPERTY,
    );
  });

  it('NaN never wins in maxPool, nor takes its gradient', async () => {
    await tf.setBackend('xla');
    const x = tf.tensor4d([1, Number.NaN, 3, Number.NaN, Number.NaN, 2, 7, 4, Number.NaN], [1, 3, 3, 1]);
    const pool = (y: tf.Tensor) => tf.maxPool(as4(y), 2, 1, 'valid');
    for (const f of [pool, jit(pool)]) expect([...f(x).dataSync()]).toEqual([1, 3, 7, 4]);
    expect([...tf.grad(pool)(x).dataSync()]).toEqual([1, 0, 1, 0, 0, 0, 1, 1, 0]);
  });

  it('out-of-range indices read the nearest row, and write nothing', async () => {
    await tf.setBackend('xla');
    // Computed on the device, where nothing can check them.
    const at = tf.add(tf.tensor1d([-3, 1, 4], 'int32'), tf.scalar(1, 'int32'));
    const x = tf.tensor2d([1, 2, 3, 4, 5, 6], [3, 2]);
    const column = tf.reshape(at, [3, 1]);
    const all = () => [
      tf.gather(x, at),
      tf.gatherND(x, column),
      tf.scatterND(column, x, [3, 2]),
      tf.tensorScatterUpdate(tf.zeros([3, 2]), column, x),
      tf.unsortedSegmentSum(x, at as tf.Tensor1D, 3),
    ];
    for (const f of [all, jit(all)])
      expect(f().map((y) => [...y.dataSync()])).toEqual([
        ...Array(2).fill([1, 2, 5, 6, 5, 6]),
        ...Array(3).fill([0, 0, 0, 0, 3, 4]),
      ]);
  });
});
