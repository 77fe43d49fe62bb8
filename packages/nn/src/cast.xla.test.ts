import '@flow-grpo/tfjs-backend-xla';
import { cast, fromBytes, storageOf, toBytes } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { castParams, uploadAs } from './index';

beforeAll(async () => {
  await tf.setBackend('xla');
});

const values = [1, -2.5, 0.3];
const bytesOf = (storage: 'float32' | 'bfloat16' | 'float16') => toBytes(cast(tf.tensor1d(values), storage));
const rounded = async (storage: 'float32' | 'bfloat16' | 'float16') => [
  ...fromBytes(await bytesOf(storage), [3], storage).dataSync(),
];

describe('uploadAs', () => {
  it.each(['float32', 'bfloat16', 'float16'] as const)('holds stored %s as asked, by name', async (dtype) => {
    const upload = uploadAs((name) => (name === 'wide' ? 'float32' : 'bfloat16'));
    const bytes = await bytesOf(dtype);
    const load = async (name: string) => (await upload({ name, dtype, shape: [3] }, async () => bytes))!;
    const wide = await load('wide');
    expect(storageOf(wide)).toBe('float32');
    expect([...wide.dataSync()]).toEqual(await rounded(dtype));
    const narrow = await load('narrow');
    expect(storageOf(narrow)).toBe('bfloat16');
    expect([...narrow.dataSync()]).toEqual([...cast(wide, 'bfloat16').dataSync()]);
  });

  it('leaves other types to the reader, without asking for their bytes', async () => {
    const bytes = () => Promise.reject(new Error('not to be read'));
    for (const dtype of ['float64', 'int64', 'bool', 'float8_e4m3fn']) {
      expect(await uploadAs('bfloat16')({ name: 'x', dtype, shape: [1] }, bytes)).toBeUndefined();
    }
  });
});

it('castParams converts floats only, and disposes of what it converted', () => {
  const params = { a: tf.tensor1d(values), b: tf.tensor1d([1], 'int32'), c: tf.scalar(2) };
  const held = castParams(params, (name) => (name === 'a' ? 'bfloat16' : 'float32'));
  expect(storageOf(held.a!)).toBe('bfloat16');
  expect(params.a.isDisposed).toBe(true);
  expect(held.b).toBe(params.b);
  expect(held.c).toBe(params.c);
});
