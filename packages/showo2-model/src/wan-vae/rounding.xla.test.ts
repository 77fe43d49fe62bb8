import '@flow-grpo/tfjs-backend-xla';
import { conv2d } from '@flow-grpo/nn';
import { cast, random, storageOf } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, it } from 'vitest';
import { causalConv } from './convolution';

beforeAll(async () => {
  expect(await tf.setBackend('xla')).toBe(true);
});

/** Normal numbers that bfloat16 has, held as float32. */
const draw = (seed: number, shape: number[], scale = 1) =>
  cast(cast(tf.mul(random.normal(random.key(seed), shape), scale), 'bfloat16'), 'float32');

it.each([1, 3])(
  'a bfloat16 convolution whose kernel has sides of %d rounds its sum and bias once',
  (size) => {
    const [inputs, outputs] = [24, 16];
    const weight = draw(1, [outputs, inputs, size, size], (inputs * size * size) ** -0.5);
    const bias = draw(2, [outputs]);
    const x = draw(3, [2, 9, 10, inputs]) as tf.Tensor4D;
    const params = (storage: 'float32' | 'bfloat16') => ({
      'c.weight': cast(weight, storage),
      'c.bias': cast(bias, storage),
    });
    const exact = conv2d(params('float32'), 'c', x);
    const once = cast(exact, 'bfloat16').dataSync();
    const twice = tf.add(
      conv2d({ ...params('bfloat16'), 'c.bias': cast(tf.zerosLike(bias), 'bfloat16') }, 'c', x),
      cast(bias, 'bfloat16'),
    );
    const off = (y: tf.Tensor) => y.dataSync().filter((v, i) => v !== once[i]).length / y.size;
    const actual = conv2d(params('bfloat16'), 'c', x);
    expect(storageOf(actual)).toBe('bfloat16');
    expect(off(actual)).toBeLessThan(0.005);
    expect(off(twice)).toBeGreaterThan(0.05);

    // One frame of a video meets one temporal tap.
    const video = tf.expandDims(x, 1) as tf.Tensor5D;
    const taps = (storage: 'float32' | 'bfloat16') => ({
      ...params(storage),
      'c.weight': tf.expandDims(cast(weight, storage), 2),
    });
    expect([...causalConv(taps('bfloat16'), 'c', video).dataSync()]).toEqual([...actual.dataSync()]);
  },
);
