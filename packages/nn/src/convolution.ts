/** Convolutions over images [N, H, W, C] with PyTorch's kernels [out, in, h, w]. */
import { storageOf } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { affine } from './affine';
import { castLike } from './cast';
import { type Params, param } from './params';

/** A two-dimensional convolution with upstream's kernel [out, in, h, w] over [N, H, W, C], stored as the kernel is. */
export function convolve(
  input: tf.Tensor4D,
  weight: tf.Tensor4D,
  bias: tf.Tensor1D | null,
  strides: number,
  pad: 'same' | 'valid',
): tf.Tensor4D {
  const [outputs, inputs, height, width] = weight.shape;
  const x = castLike(input, weight);
  // In a narrow storage a bias is added before the sum is rounded, and with it.
  const inside = bias !== null && roundsSums(weight) ? bias : undefined;
  let y: tf.Tensor4D;
  if (height === 1 && width === 1) {
    const rows = tf.reshape(x, [-1, inputs]);
    const product = affine(rows, tf.reshape(weight, [outputs, inputs]), inside);
    y = tf.reshape(product, [x.shape[0], x.shape[1], x.shape[2], outputs]);
  } else {
    const filter = tf.transpose(weight, [2, 3, 1, 0]) as tf.Tensor4D;
    y = inside
      ? tf.fused.conv2d({ x, filter, strides, pad, bias: inside })
      : tf.conv2d(x, filter, strides, pad);
  }
  return castLike(bias && !inside ? tf.add(y, bias) : y, weight);
}

/** Whether sums in this weight's storage are rounded: a bias is then added within the first of them. */
export const roundsSums = (weight: tf.Tensor): boolean => storageOf(weight) !== 'float32';

/** The image convolution called `name`, with its bias: stride 1, height and width kept. */
export function conv2d(params: Params, name: string, x: tf.Tensor4D): tf.Tensor4D {
  const weight = param(params, `${name}.weight`) as tf.Tensor4D;
  return convolve(x, weight, param(params, `${name}.bias`) as tf.Tensor1D, 1, 'same');
}

/** The image convolution called `name` that halves height and width: zeros at the right and the bottom, 3 × 3, stride 2. */
export function downsample2d(params: Params, name: string, x: tf.Tensor4D): tf.Tensor4D {
  const weight = param(params, `${name}.weight`) as tf.Tensor4D;
  const bias = param(params, `${name}.bias`) as tf.Tensor1D;
  const padded = tf.pad(x, [
    [0, 0],
    [0, 1],
    [0, 1],
    [0, 0],
  ]);
  return convolve(padded, weight, bias, 2, 'valid');
}

/** Every pixel of [N, H, W, C] as a 2 × 2 square, by broadcasting: cheaper than gathering. */
export function upsample2d(frames: tf.Tensor4D): tf.Tensor4D {
  const [count, height, width, channels] = frames.shape;
  const rows = tf.reshape(frames, [count * height, 1, width * channels]);
  const doubled = tf.broadcastTo(rows, [count * height, 2, width * channels]);
  const pixels = tf.reshape(doubled, [count * 2 * height * width, 1, channels]);
  const squares = tf.broadcastTo(pixels, [count * 2 * height * width, 2, channels]);
  return tf.reshape(squares, [count, 2 * height, 2 * width, channels]);
}
