import { mapTiles, type Params, type TilingOptions, tileSizes } from '@flow-grpo/nn';
import type * as tf from '@tensorflow/tfjs-core';
import { spatialFactor, type WanVaeConfig } from './config';
import { decodeImage, encodeImage } from './wan-vae';

/**
 * {@link decodeImage} in overlapping tiles that fade into one another: memory of one tile beside the image. The
 * attention and the norms' surroundings see a tile only, so numbers differ slightly from the whole decode, but
 * for images that fit one tile, which are decoded whole.
 *
 * @param latents [B, h, w, C] normalised
 * @returns images [B, H, W, 3], in [−1, 1] but for overshoot
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
  const factor = spatialFactor(config);
  const { tile, overlap } = tileSizes(options, factor);
  const { decodeTile = (part) => decodeImage(params, config, part) } = options;
  return mapTiles(latents, tile / factor, overlap / factor, factor, decodeTile);
}

/** {@link encodeImage} in overlapping tiles, as {@link decodeImageTiled}. */
export function encodeImageTiled(
  params: Params,
  config: WanVaeConfig,
  images: tf.Tensor4D,
  options: TilingOptions = {},
): tf.Tensor4D {
  const factor = spatialFactor(config);
  const { tile, overlap } = tileSizes(options, factor);
  return mapTiles(images, tile, overlap, 1 / factor, (part) => encodeImage(params, config, part));
}
