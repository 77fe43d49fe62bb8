import type { Params } from '@flow-grpo/nn';
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { RgbImage } from '../../images';
import type { TowerPixels } from '../preprocess';

/** One batch: pictures on the host, of any sizes, or a tensor [B, H, W, 3] in [0, 1] on the device. */
export type Pictures = readonly RgbImage[] | tf.Tensor4D;

export const isTensor = (pictures: Pictures): pictures is tf.Tensor4D => pictures instanceof tf.Tensor;

/**
 * A model of pictures and texts as one executable a batch shape. For a tensor the preprocessing is part of it, so
 * that nothing but the results leaves the device; pictures are preprocessed on the host.
 *
 * @param model from the tower's pixels [B, crop, crop, 3] and what `texts` holds to the results
 */
export function pictureProgram<T, R>(
  name: string,
  pixels: TowerPixels,
  model: (weights: Params, pixels: tf.Tensor4D, texts: T) => R,
): (weights: Params, pictures: Pictures, texts: T) => R {
  const ofPixels = jit(model, { name });
  const ofTensor = jit(
    (weights: Params, images: tf.Tensor4D, texts: T) => model(weights, pixels.ofTensor(images), texts),
    { name },
  );
  return (weights, pictures, texts) =>
    isTensor(pictures)
      ? ofTensor(weights, pictures, texts)
      : ofPixels(weights, pixels.ofPictures(pictures), texts);
}
