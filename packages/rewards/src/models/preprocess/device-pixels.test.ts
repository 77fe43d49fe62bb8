import '@flow-grpo/tfjs-backend-xla';
import { expectClose } from '@flow-grpo/test-support';
import { cast, jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { rgbImages } from '../../images';
import { CLIP_MEAN, CLIP_STD, clipPixels, type PixelOptions, resizeAndCrop } from './clip-pixels';
import type { CropRounding } from './crop';
import { deviceClipPixels, deviceResizeAndCrop, deviceTensorPixels } from './device-pixels';
import { tensorPixels } from './tensor-pixels';

afterAll(() => tf.setBackend('cpu'));

const options = (edge: number, crop = edge, rounding: CropRounding = 'floor'): PixelOptions => ({
  edge,
  crop,
  rounding,
  mean: CLIP_MEAN,
  std: CLIP_STD,
});

/** Noise a little beyond [0, 1] at the extremes, which overshoots as much as a bicubic can. */
function noise(height: number, width: number): tf.Tensor4D {
  const values = tf.randomUniform([2, height, width, 3], -0.2, 1.2, 'float32', 100 * height + width);
  const hard = tf.cast(tf.greater(tf.slice(values, [1], [1]), 0.5), 'float32');
  return tf.concat([tf.slice(values, [0], [1]), hard]) as tf.Tensor4D;
}

const hostBytes = async (images: tf.Tensor4D, pixels: PixelOptions): Promise<number[]> =>
  (await rgbImages(images)).flatMap((image) => [...resizeAndCrop(image, pixels).data]);

/** Height, width, shorter edge and crop. */
const sizes = [
  [432, 432, 224, 224],
  [37, 61, 24, 24],
  [61, 37, 24, 20],
  [50, 41, 24, 17],
  [16, 13, 24, 24],
  [13, 30, 31, 30],
  [24, 24, 24, 24],
  [24, 33, 24, 24],
  [40, 40, 20, 26],
  [1, 5, 8, 8],
  [300, 280, 7, 7],
] as const;

describe.each(['xla', 'cpu'])('preprocessing as tensor operations, on %s', (backend) => {
  for (const rounding of ['floor', 'even'] as const) {
    it.each(backend === 'xla' ? sizes : sizes.slice(1))(
      `gives the bytes of the host's resize: %i x %i to %i, crop %i, rounded to ${rounding}`,
      async (height, width, edge, crop) => {
        expect(await tf.setBackend(backend)).toBe(true);
        const pixels = options(edge, crop, rounding);
        const images = noise(height, width);
        const bytes = jit(deviceResizeAndCrop)(images, pixels);
        expect(bytes.shape).toEqual([2, crop, crop, 3]);
        expect([...(await bytes.data())]).toEqual(await hostBytes(images, pixels));
      },
    );
  }

  it('quantises as the host does: ties, values out of range, infinities and NaN', async () => {
    await tf.setBackend(backend);
    const ties = Array.from({ length: 255 }, (_, i) => (i + 0.5) / 255);
    const special = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, -1, 1.001, 300];
    const values = [...ties, ...special, ...new Array<number>(26).fill(0.3)];
    const images = tf.tensor4d(values, [1, 8, 12, 3]);
    const pixels = options(8, 8);
    // A picture of its own size: what differs is the rounding to bytes, and it is seen whole.
    for (const start of [0, 4]) {
      const square = tf.slice(images, [0, 0, start, 0], [1, 8, 8, 3]);
      const bytes = jit(deviceResizeAndCrop)(square, pixels);
      expect([...(await bytes.data())]).toEqual(await hostBytes(square, pixels));
    }
  });

  it("gives the tower's pixels to the bit", async () => {
    await tf.setBackend(backend);
    const images = noise(50, 41);
    const expected = clipPixels(await rgbImages(images), options(24, 20));
    const pixels = jit(deviceClipPixels)(images, options(24, 20));
    expect([...(await pixels.data())]).toEqual([...(await expected.data())]);
  });

  it.each(['antialias', 'plain'] as const)('resizes floats as the host does: %s', async (resize) => {
    await tf.setBackend(backend);
    for (const [height, width, edge, crop] of [
      [37, 61, 24, 24],
      [16, 13, 24, 21],
      [24, 24, 24, 24],
    ] as const) {
      const images = noise(height, width);
      const expected = tensorPixels(await rgbImages(images), options(edge, crop), resize);
      const pixels = jit(deviceTensorPixels)(images, options(edge, crop), resize);
      expect(pixels.shape).toEqual(expected.shape);
      expectClose(await pixels.data(), await expected.data(), 5e-6, `${height} x ${width}`);
    }
  });

  it('refuses what the host refuses', async () => {
    await tf.setBackend(backend);
    const none = tf.zeros([1, 0, 5, 3]) as tf.Tensor4D;
    expect(() => jit(deviceClipPixels)(none, options(8))).toThrow('Cannot resize 5 x 0 pixels');
    const small = tf.zeros([1, 9, 9, 3]) as tf.Tensor4D;
    expect(() => jit(deviceTensorPixels)(small, options(8, 9))).toThrow('crop of 9');
  });
});

it('widens images held in bfloat16 before it quantises them, as reading them does', async () => {
  await tf.setBackend('xla');
  const narrow = cast(noise(50, 41), 'bfloat16');
  const bytes = jit(deviceResizeAndCrop)(narrow, options(24));
  expect([...(await bytes.data())]).toEqual(await hostBytes(narrow, options(24)));
});

it('takes images of whole numbers, as the host does', async () => {
  await tf.setBackend('xla');
  const whole = tf.cast(tf.greater(noise(20, 19), 0.5), 'int32') as tf.Tensor4D;
  const bytes = jit(deviceResizeAndCrop)(whole, options(9));
  expect([...(await bytes.data())]).toEqual(await hostBytes(whole, options(9)));
});
