import {
  allReduce,
  cast,
  checkpoint,
  jit,
  mesh,
  scaledDotProductAttention,
  scan,
  shard,
  shardMap,
  whileLoop,
} from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { configure } from './index';

beforeAll(async () => {
  configure({ devices: 2 });
  await tf.setBackend('xla');
});

type Fn = (...xs: tf.Tensor[]) => tf.Tensor | tf.Tensor[];
const costOf = (f: Fn, ...shapes: number[][]) =>
  jit(f)
    .lower(...shapes.map((s) => tf.zeros(s)))
    .cost();
const flopsOf = (f: Fn, ...shapes: number[][]) => costOf(f, ...shapes).flops;

const as4 = (x: tf.Tensor | undefined) => x as tf.Tensor4D;
const IMAGE = [2, 9, 7, 3];

describe('cost().flops', () => {
  // The last number is XLA's own, from a plugin that counts (xla-cpu-pjrt 0.0.1), exponentials added where there are any.
  it.each<[string, Fn, number[][], number]>([
    [
      'matMul',
      (a, b) => tf.matMul(a!, b!),
      [
        [64, 32],
        [32, 16],
      ],
      65536,
    ],
    [
      'conv2d, padding left out',
      (a, b) => tf.conv2d(as4(a), as4(b), 1, 'same'),
      [IMAGE, [3, 3, 3, 5]],
      28500,
    ],
    ['conv2d with strides', (a, b) => tf.conv2d(as4(a), as4(b), 2, 'same'), [IMAGE, [3, 3, 3, 5]], 7800],
    [
      'depthwiseConv2d',
      (a, b) => tf.depthwiseConv2d(as4(a), as4(b), 1, 'same'),
      [IMAGE, [3, 3, 3, 2]],
      11400,
    ],
    ['softmax', (a) => tf.softmax(a!), [[16, 32]], 2016 + 16 * 32],
    ['sum', (a) => tf.sum(a!), [[16, 32]], 511],
    ['mul', (a) => tf.mul(a!, 3), [[16, 32]], 512],
    ['maxPool', (a) => tf.maxPool(as4(a), 2, 2, 'valid'), [[1, 8, 8, 3]], 144],
    [
      'unsortedSegmentSum',
      (a) => tf.unsortedSegmentSum(a!, tf.tensor1d([0, 1, 0, 2], 'int32'), 3),
      [[4, 5]],
      20,
    ],
  ])('of %s is what XLA counts', (_, f, shapes, expected) => {
    expect(flopsOf(f, ...shapes)).toBe(expected);
  });

  it('leaves out what no result needs, integers and copies', () => {
    const shapes = [[8, 8]];
    expect(flopsOf((a) => tf.transpose(a!), ...shapes)).toBe(0);
    const one = tf.scalar(1, 'int32');
    expect(flopsOf((a) => tf.add(tf.zerosLike(tf.cast(a!, 'int32')), one), ...shapes)).toBe(0);
    expect(
      flopsOf(
        (a) => {
          tf.matMul(a!, a!);
          return tf.add(a!, 1);
        },
        ...shapes,
      ),
    ).toBe(64);
  });

  it('does not depend on how elements are stored', () => {
    const product: Fn = (a, b) => tf.matMul(cast(a!, 'bfloat16'), cast(b!, 'bfloat16'));
    expect(flopsOf(product, [64, 32], [32, 16])).toBe(65536);
  });

  const LENGTH = 5;
  const product = 2 * 4 * 8 * 8;
  const chain: Fn = (h, w) => scan((c: tf.Tensor, x: tf.Tensor) => [tf.matMul(c, x), null], h!, w!)[0];
  const shapes = [
    [4, 8],
    [LENGTH, 8, 8],
  ];

  it('multiplies the steps of a scan, forward and backward', () => {
    expect(flopsOf(chain, ...shapes)).toBe(LENGTH * product);
    const grads: Fn = (h, w) => tf.grads((a, b) => tf.sum(chain(a, b) as tf.Tensor))([h!, w!]);
    const flops = flopsOf(grads, ...shapes);
    // Two products a step in the backward pass, whose forward products nobody reads; little else beside them.
    expect(flops).toBeGreaterThanOrEqual(LENGTH * 3 * product);
    expect(flops).toBeLessThan(LENGTH * 4 * product);
    const twice = flopsOf(grads, shapes[0]!, [2 * LENGTH, 8, 8]);
    expect(twice / flops).toBeGreaterThan(1.95);
    expect(twice / flops).toBeLessThan(2.01);
  });

  it('counts the body of a whileLoop once', () => {
    const loop: Fn = (a) =>
      whileLoop(
        (x: tf.Tensor) => tf.notEqual(tf.slice(x, [0, 0], [1, 1]), tf.scalar(1)),
        (x) => tf.matMul(x, x),
        a!,
      );
    expect(flopsOf(loop, [8, 8])).toBe(2 * 8 ** 3);
  });

  it('counts what checkpoint computes again', () => {
    const block = (x: tf.Tensor, w: tf.Tensor) => tf.tanh(tf.matMul(tf.tanh(tf.matMul(x, w)), w));
    const grads =
      (f: typeof block): Fn =>
      (x, w) => {
        const { value, grads } = tf.valueAndGrads((a, b) => tf.sum(f(a!, b!)) as tf.Scalar)([x!, w!]);
        return [value, ...grads];
      };
    const plain = flopsOf(grads(block), [4, 8], [8, 8]);
    const again = flopsOf(grads(checkpoint(block)), [4, 8], [8, 8]);
    expect(again - plain).toBeGreaterThanOrEqual(2 * product);
    expect(again - plain).toBeLessThan(3 * product);
  });

  it('is that of all devices', () => {
    const m = mesh({ data: 2 });
    const [x, w] = [tf.zeros([4, 8]), tf.zeros([8, 8])];
    const f = jit((a: tf.Tensor, b: tf.Tensor) => tf.matMul(a, b));
    expect(f.lower(shard(x, m, ['data']), w).cost().flops).toBe(product);
    const mapped = shardMap((a: tf.Tensor, b: tf.Tensor) => [allReduce(tf.matMul(a, b), 'data')], {
      mesh: m,
      inSpecs: [['data'], []],
      outSpecs: [[]],
    });
    expect(
      jit((a: tf.Tensor, b: tf.Tensor) => mapped(a, b))
        .lower(x, w)
        .cost().flops,
    ).toBe(product);
  });

  it('has the two matrix products of attention', () => {
    const [batch, queries, keys, heads, size] = [2, 8, 16, 4, 16];
    const q = [batch, queries, heads, size];
    const kv = [batch, keys, heads, size];
    const flops = flopsOf((a, b, c) => scaledDotProductAttention(a!, b!, c!), q, kv, kv);
    const products = 4 * batch * heads * queries * keys * size;
    expect(flops).toBeGreaterThanOrEqual(products);
    // Scale and softmax beside them.
    expect(flops - products).toBeLessThan(8 * batch * heads * queries * keys);
  });
});

describe('cost()', () => {
  it('gives the bytes of a call, and XLA’s count only where the plugin counts', () => {
    const cost = costOf((x) => tf.add(x!, x!), [1000]);
    expect(cost).toMatchObject({ argumentBytes: 4000, outputBytes: 4000, aliasedBytes: 0 });
    for (const count of [cost.xlaFlops, cost.bytesAccessed]) {
      if (count !== undefined) expect(count).toBeGreaterThan(0);
    }
  });
});
