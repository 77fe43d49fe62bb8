import '../index';
import { expectClose } from '@flow-grpo/test-support';
import {
  cast,
  type FloatStorage,
  fromBytes,
  jit,
  random,
  storageOf,
  toBytes,
  upload,
} from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(async () => {
  await tf.setBackend('xla');
});

const values = (x: tf.Tensor) => [...x.dataSync()];
const draw = (seed: number, shape: number[]) => random.normal(random.key(seed), shape);

describe('cast', () => {
  it.each<[FloatStorage, number]>([
    ['bfloat16', 2 ** -8],
    ['float16', 2 ** -11],
  ])('to %s rounds to nearest', (storage, epsilon) => {
    const floats = fc.float({ min: -1000, max: 1000, noNaN: true });
    fc.assert(
      fc.property(fc.array(floats, { minLength: 5, maxLength: 5 }), (xs) => {
        const back = values(cast(tf.tensor1d(xs), storage));
        back.forEach((value, i) => {
          const x = Math.fround(xs[i]!);
          expect(Math.abs(value - x)).toBeLessThanOrEqual(Math.abs(x) * epsilon + 2 ** -25);
        });
      }),
      { numRuns: 30 },
    );
  });

  it('keeps products narrow and accumulates them in float32', () => {
    const n = 4096;
    const ones = cast(tf.ones([1, n]), 'bfloat16');
    const product = tf.matMul(ones, cast(tf.ones([n, 1]), 'bfloat16'));
    expect(storageOf(product)).toBe('bfloat16');
    // Summed in bfloat16 it would stop at 256.
    expect(values(product)).toEqual([n]);
    expect(storageOf(tf.matMul(ones, tf.ones([n, 1])))).toBe('float32');
  });

  it('gives gradients in the storage of what it was applied to', () => {
    const x = draw(1, [3, 4]);
    const w = draw(2, [4, 2]);
    const f = (a: tf.Tensor, b: tf.Tensor) =>
      tf.sum(cast(tf.matMul(cast(a, 'bfloat16'), cast(b, 'bfloat16')), 'float32'));
    const [dx, dw] = jit((a: tf.Tensor, b: tf.Tensor) => tf.grads(f)([a, b]))(x, w);
    const [ex, ew] = tf.grads((a, b) => tf.sum(tf.matMul(a, b)))([x, w]);
    expect(storageOf(dx!)).toBe('float32');
    expectClose(values(dx!), values(ex!), 0.05);
    expectClose(values(dw!), values(ew!), 0.05);
  });

  it('normalises and takes softmax in float32', () => {
    const x = draw(3, [4, 64]);
    const soft = tf.softmax(cast(x, 'bfloat16'));
    expectClose(values(soft), values(tf.softmax(x)), 4e-3);
    expectClose(values(tf.mean(cast(tf.ones([3000]), 'bfloat16'))), [1], 0);
  });

  it('refuses other dtypes and storages', () => {
    expect(() => cast(tf.tensor1d([1], 'int32'), 'bfloat16')).toThrow(/float32 tensor, not int32/);
    expect(() => cast(tf.scalar(1), 'float64' as FloatStorage)).toThrow(/float64/);
  });
});

describe('bytes', () => {
  it.each<FloatStorage>(['float32', 'bfloat16', 'float16'])(
    'of %s go to the device and back as they are',
    async (storage) => {
      const x = cast(draw(4, [5, 3]), storage);
      const bytes = await toBytes(x);
      expect(bytes.byteLength).toBe(storage === 'float32' ? 60 : 30);
      const y = fromBytes(bytes, [5, 3], storage);
      expect(storageOf(y)).toBe(storage);
      expect(await toBytes(y)).toEqual(bytes);
      expect(values(y)).toEqual(values(x));
      expect(values(tf.add(y, y))).toEqual(values(tf.add(x, x)));
      await tf.setBackend('cpu');
      const widened = values(fromBytes(bytes, [5, 3], storage));
      await tf.setBackend('xla');
      expect(widened).toEqual(values(x));
      expect(() => fromBytes(bytes, [5, 4], storage)).toThrow(/takes/);
    },
  );

  it('are on the device once uploaded: what becomes of them on the host no longer matters', async () => {
    const bytes = await toBytes(cast(draw(5, [32, 8]), 'bfloat16'));
    const x = fromBytes(bytes, [32, 8], 'bfloat16');
    await upload(x);
    const before = values(x);
    bytes.fill(0);
    expect(values(tf.mul(x, 2))).toEqual(before.map((value) => 2 * value));
    expect(before.some((value) => value !== 0)).toBe(true);
    await upload(x);
    expect(values(x)).toEqual(before);
  });

  it('may be disposed of while they are uploaded', async () => {
    const x = tf.tensor1d(new Float32Array(1000).fill(1));
    const sent = upload(x);
    x.dispose();
    await sent;
    expect(() => x.dataSync()).toThrow(/disposed/);
    await upload(tf.tensor1d(['text']));
    await tf.setBackend('cpu');
    await upload(tf.scalar(1));
    await tf.setBackend('xla');
  });
});
