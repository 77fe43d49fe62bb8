import * as tf from '@tensorflow/tfjs-core';
import { expect, it } from 'vitest';
import type { FloatStorage } from './compiler';
import { cast, fromBytes, storageOf, toBytes, upload } from './storage';
import { onPlainBackends } from './testing/backends';

const values = (x: tf.Tensor) => [...x.dataSync()];

onPlainBackends('storage', () => {
  it('is float32, whatever is asked for: values are not rounded', () => {
    const x = tf.tensor1d([1.0001, -3]);
    const y = cast(x, 'bfloat16');
    expect(storageOf(y)).toBe('float32');
    expect(values(y)).toEqual(values(x));
    x.dispose();
    expect(values(y)[1]).toBe(-3); // a tensor of its own
  });

  it.each<[FloatStorage, number[]]>([
    ['float32', [0x00, 0x00, 0xc0, 0x3f, 0x00, 0x00, 0x00, 0xc0]],
    ['bfloat16', [0xc0, 0x3f, 0x00, 0xc0]],
    ['float16', [0x00, 0x3e, 0x00, 0xc0]],
  ])('widens the bytes of %s, aligned or not', async (storage, bytes) => {
    const shifted = new Uint8Array([9, ...bytes]).subarray(1);
    for (const given of [new Uint8Array(bytes), shifted]) {
      const x = fromBytes(given, [2], storage);
      expect(values(x)).toEqual([1.5, -2]);
      await upload(x);
      expect([...(await toBytes(x))]).toEqual([...new Uint8Array(Float32Array.of(1.5, -2).buffer)]);
    }
  });

  it('names what does not fit', async () => {
    expect(() => cast(tf.tensor1d([1], 'int32'), 'bfloat16')).toThrow(/float32 tensor, not int32/);
    expect(() => cast(tf.scalar(1), 'float8' as FloatStorage)).toThrow(/float8/);
    expect(() => storageOf(tf.tensor1d([true]))).toThrow(/float32 tensor, not bool/);
    expect(() => fromBytes(new Uint8Array(3), [2], 'bfloat16')).toThrow(/takes 4 bytes, there are 3/);
    await expect(toBytes(tf.tensor1d(['a']))).rejects.toThrow(/string/);
  });
});
