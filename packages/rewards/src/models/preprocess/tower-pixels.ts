import type * as tf from '@tensorflow/tfjs-core';
import type { RgbImage } from '../../images';
import { clipPixels, type PixelOptions } from './clip-pixels';
import { deviceClipPixels, deviceTensorPixels } from './device-pixels';
import { type TensorResize, tensorPixels } from './tensor-pixels';

/** One preprocessing in its two forms: both give a vision tower's input [B, crop, crop, 3]. */
export interface TowerPixels {
  /** Of pictures on the host, of any sizes. */
  ofPictures(pictures: readonly RgbImage[]): tf.Tensor4D;
  /** Of [B, H, W, 3] in [0, 1], as operations of a jitted program. */
  ofTensor(images: tf.Tensor4D): tf.Tensor4D;
}

/** Pillow's bytes (`pillow`), or floats resized as torchvision does. */
export function towerPixels(options: PixelOptions, resize: TensorResize | 'pillow' = 'pillow'): TowerPixels {
  if (resize === 'pillow') {
    return {
      ofPictures: (pictures) => clipPixels(pictures, options),
      ofTensor: (images) => deviceClipPixels(images, options),
    };
  }
  return {
    ofPictures: (pictures) => tensorPixels(pictures, options, resize),
    ofTensor: (images) => deviceTensorPixels(images, options, resize),
  };
}
