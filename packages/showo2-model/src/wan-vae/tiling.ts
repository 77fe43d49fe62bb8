import { decodeInTiles, encodeInTiles, type Params, type TilingOptions } from '@flow-grpo/nn';
import type * as tf from '@tensorflow/tfjs-core';
import { spatialFactor, type WanVaeConfig } from './config';
import { decodeImage, encodeImage } from './wan-vae';

/**
 * {@link decodeImage} in overlapping tiles that are blended, so that only one tile needs memory beside the image. Attention
 * and norms see one tile at a time, so numbers differ slightly from decoding the whole image; an image that fits one tile
 * is decoded whole.
 *
 * @param latents [B, h, w, C] normalised
 * @returns images [B, H, W, 3], in [−1, 1] except for overshoot
 */
export function decodeImageTiled(
  params: Params,
  config: WanVaeConfig,
  latents: tf.Tensor4D,
  options: TilingOptions & {
    /** What decodes a tile, such as a compiled `decodeImage`: tiles all have one shape. */
    decodeTile?: (part: tf.Tensor4D) => tf.Tensor4D;
  } = {},
): tf.Tensor4D {
  const { decodeTile = (part) => decodeImage(params, config, part) } = options;
  return decodeInTiles(latents, spatialFactor(config), options, decodeTile);
}

/** {@link encodeImage} in overlapping tiles, as {@link decodeImageTiled}. */
export function encodeImageTiled(
  params: Params,
  config: WanVaeConfig,
  images: tf.Tensor4D,
  options: TilingOptions = {},
): tf.Tensor4D {
  return encodeInTiles(images, spatialFactor(config), options, (part) => encodeImage(params, config, part));
}
