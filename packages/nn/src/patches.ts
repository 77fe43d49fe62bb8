import * as tf from '@tensorflow/tfjs-core';
import { affine } from './affine';
import { castLike } from './cast';
import { optionalParam, type Params, param } from './params';

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
  const rows = height / patch;
  const columns = width / patch;
  const split = tf.reshape(castLike(images, weight), [batch * rows, patch, columns, patch * channels]);
  const patches = tf.reshape(tf.transpose(split, [0, 2, 1, 3]), [-1, patch * patch * channels]);
  const kernel = tf.reshape(tf.transpose(weight, [0, 2, 3, 1]), [depth, patch * patch * channels]);
  const bias = optionalParam(params, `${name}.bias`);
  return tf.reshape(affine(patches, kernel, bias), [batch, rows * columns, depth]);
}
