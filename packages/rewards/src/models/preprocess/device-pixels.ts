import * as tf from '@tensorflow/tfjs-core';
import { byteTable, type PixelOptions } from './clip-pixels';
import { type CropRounding, cropOffset, shorterEdgeSize } from './crop';
import { checkSizes, FRACTION_BITS, fixedTaps, HALF } from './pillow-resize';
import { checkCrop, type TensorResize, tensorTaps } from './tensor-pixels';

/** The taps of one output position, as integers or as floats. */
interface AnyTaps {
  start: number;
  weights: ArrayLike<number>;
}

/** Pixel values in [0, 1] as int32 bytes, by the rule of `quantise`: ties to even, clamped, NaN becomes 0. */
function quantised(images: tf.Tensor4D): tf.Tensor4D {
  // A float32 number widens images that are held in bfloat16 or are integers.
  const scaled = tf.round(tf.mul(images, tf.scalar(255, 'float32')));
  // What NaN is as an integer is each device's own choice.
  const numbers = tf.where(tf.isNaN(scaled), tf.zerosLike(scaled), scaled);
  return tf.cast(tf.clipByValue(numbers, 0, 255), 'int32') as tf.Tensor4D;
}

/** The taps of the `crop` positions in the middle; of those outside the picture none. */
function croppedTaps(taps: readonly AnyTaps[], crop: number, rounding?: CropRounding): AnyTaps[] {
  const offset = cropOffset(taps.length, crop, rounding ?? 'floor');
  return Array.from({ length: crop }, (_, i) => taps[offset + i] ?? { start: 0, weights: [] });
}

/**
 * The sums of taps along one axis of [B, H, W, 3], in the dtype of `x`. One gather per tap reads less than a dense
 * matrix product, and sums of integers stay integers.
 */
function applyTaps(x: tf.Tensor4D, taps: readonly AnyTaps[], axis: 1 | 2): tf.Tensor4D {
  const last = x.shape[axis] - 1;
  const shape = axis === 1 ? [1, taps.length, 1, 1] : [1, 1, taps.length, 1];
  const most = Math.max(...taps.map(({ weights }) => weights.length));
  const terms = Array.from({ length: most }, (_, k) => {
    const rows = taps.map(({ start }) => Math.min(start + k, last));
    const weights = taps.map((tap) => tap.weights[k] ?? 0);
    const samples = tf.gather(x, tf.tensor1d(rows, 'int32'), axis);
    return tf.mul(samples, tf.tensor(weights, shape, x.dtype));
  });
  return terms.reduce((sum, term) => tf.add(sum, term)) as tf.Tensor4D;
}

/** Rounds sums of bytes times Pillow's coefficients and clamps them to bytes. */
function toBytes(sums: tf.Tensor4D): tf.Tensor4D {
  const rounded = tf.maximum(tf.add(sums, tf.scalar(HALF, 'int32')), tf.scalar(0, 'int32'));
  const bytes = tf.floorDiv(rounded, tf.scalar(2 ** FRACTION_BITS, 'int32'));
  return tf.minimum(bytes, tf.scalar(255, 'int32')) as tf.Tensor4D;
}

/** Pillow's resize of the shorter edge to `edge` and the centre crop: int32 bytes [B, crop, crop, 3]. */
export function deviceResizeAndCrop(images: tf.Tensor4D, options: PixelOptions): tf.Tensor4D {
  const [, height, width] = images.shape;
  const { edge, crop, rounding } = options;
  const [toWidth, toHeight] = shorterEdgeSize(width, height, edge);
  checkSizes({ width, height }, toWidth, toHeight);
  const columns = croppedTaps(fixedTaps(width, toWidth), crop, rounding);
  const rows = croppedTaps(fixedTaps(height, toHeight), crop, rounding);
  const wide = toBytes(applyTaps(quantised(images), columns, 2));
  return toBytes(applyTaps(wide, rows, 1));
}

/**
 * `clipPixels` of images [B, H, W, 3] in [0, 1], to the bit, as tensor operations for a jitted program: the tower's
 * input [B, crop, crop, 3]. Integers of 32 bits hold all of it, so that no backend's float precision matters.
 * Throws a RangeError for images without pixels.
 */
export function deviceClipPixels(images: tf.Tensor4D, options: PixelOptions): tf.Tensor4D {
  const bytes = deviceResizeAndCrop(images, options);
  const places = tf.add(tf.mul(bytes, tf.scalar(3, 'int32')), tf.tensor1d([0, 1, 2], 'int32'));
  const table = tf.tensor1d(byteTable(options.mean, options.std));
  return tf.gather(table, places as tf.Tensor1D) as tf.Tensor as tf.Tensor4D;
}

/**
 * `tensorPixels` of images [B, H, W, 3] in [0, 1], likewise; it sums in float32 where the host sums in float64.
 * Throws when the crop is larger than the resized picture.
 */
export function deviceTensorPixels(
  images: tf.Tensor4D,
  options: PixelOptions,
  resize: TensorResize = 'antialias',
): tf.Tensor4D {
  const [, height, width] = images.shape;
  const { edge, crop, mean, std } = options;
  checkCrop(options);
  const [toWidth, toHeight] = shorterEdgeSize(width, height, edge);
  checkSizes({ width, height }, toWidth, toHeight);
  const tapsOf = tensorTaps(resize);
  const values = tf.div(tf.cast(quantised(images), 'float32'), 255) as tf.Tensor4D;
  const wide = applyTaps(values, croppedTaps(tapsOf(width, toWidth), crop, 'even'), 2);
  const small = applyTaps(wide, croppedTaps(tapsOf(height, toHeight), crop, 'even'), 1);
  return tf.div(tf.sub(small, tf.tensor1d([...mean])), tf.tensor1d([...std]));
}
