import * as tf from '@tensorflow/tfjs-core';
import { affine } from './affine';
import { castLike } from './cast';
import { optionalParam, type Params, param } from './params';

/**
 * Images [B, H, W, C] as patches of p × p pixels, [B (H/p) (W/p), p² C], in raster order; columns are (row, column, channel),
 * the channel fastest.
 */
export function patchRows(images: tf.Tensor, patch: number): tf.Tensor {
  const [batch, height, width, channels] = images.shape as [number, number, number, number];
  const [rows, columns] = [height / patch, width / patch];
  const split = tf.reshape(images, [batch * rows, patch, columns, patch * channels]);
  return tf.reshape(tf.transpose(split, [0, 2, 1, 3]), [-1, patch * patch * channels]);
}

/** The inverse of `patchRows` for images of this shape, [B, H, W, C]. */
export function imagesOfPatchRows(
  rows: tf.Tensor,
  patch: number,
  [batch, height, width, channels]: readonly [number, number, number, number],
): tf.Tensor4D {
  const split = tf.reshape(rows, [batch * (height / patch), width / patch, patch, patch * channels]);
  return tf.reshape(tf.transpose(split, [0, 2, 1, 3]), [batch, height, width, channels]);
}

/**
 * A strided convolution with kernel = stride = p written as a matrix product: images [B, H, W, C] and
 * `name.weight` [D, C, p, p] give tokens [B, (H/p)(W/p), D] in raster order.
 */
export function patchEmbed(params: Params, name: string, images: tf.Tensor): tf.Tensor {
  const weight = param(params, `${name}.weight`);
  const [depth, channels, patch] = weight.shape as [number, number, number, number];
  const [batch, height, width, inputs] = images.shape as [number, number, number, number];
  if (inputs !== channels || height % patch !== 0 || width % patch !== 0) {
    throw new Error(
      `'${name}' takes [B, H, W, ${channels}] with H and W multiples of ${patch}, got [${images.shape}].`,
    );
  }
  const patches = patchRows(castLike(images, weight), patch);
  const kernel = tf.reshape(tf.transpose(weight, [0, 2, 3, 1]), [depth, patch * patch * channels]);
  const bias = optionalParam(params, `${name}.bias`);
  return tf.reshape(affine(patches, kernel, bias), [batch, (height / patch) * (width / patch), depth]);
}
