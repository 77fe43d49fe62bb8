import * as tf from '@tensorflow/tfjs-core';
import type { RgbImage } from '../../images';
import { type CropRounding, centerCrop, shorterEdgeSize } from './crop';
import { pillowResize } from './pillow-resize';

/** What a vision tower expects of its pictures. */
export interface PixelOptions {
  /** Length of the shorter edge after the resize. */
  edge: number;
  /** Edge of the square cut from the centre. */
  crop: number;
  /** Channel means and deviations, in units of [0, 1]. */
  mean: readonly number[];
  std: readonly number[];
  /** `floor` by default. */
  rounding?: CropRounding;
}

/** The channel statistics of CLIP, BLIP and ImageReward. */
export const CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073] as const;
export const CLIP_STD = [0.26862954, 0.26130258, 0.27577711] as const;

/** Shorter edge to `edge` with Pillow's bicubic, then the centre crop, as bytes. */
export function resizeAndCrop(image: RgbImage, options: PixelOptions): RgbImage {
  const [width, height] = shorterEdgeSize(image.width, image.height, options.edge);
  return centerCrop(pillowResize(image, width, height), options.crop, options.rounding);
}

/** (byte / 255 - mean) / std of every byte, [256, 3]. */
export function byteTable(mean: readonly number[], std: readonly number[]): Float32Array {
  return Float32Array.from(
    { length: 256 * 3 },
    (_, i) => (Math.fround(Math.floor(i / 3) / 255) - mean[i % 3]!) / std[i % 3]!,
  );
}

/** (byte / 255 - mean) / std, HWC, into `out` from `offset`. */
export function normalizeBytes(
  { data }: RgbImage,
  mean: readonly number[],
  std: readonly number[],
  out: Float32Array = new Float32Array(data.length),
  offset = 0,
): Float32Array {
  const table = byteTable(mean, std);
  for (let at = 0; at < data.length; at += 3) {
    out[offset + at] = table[3 * data[at]!]!;
    out[offset + at + 1] = table[3 * data[at + 1]! + 1]!;
    out[offset + at + 2] = table[3 * data[at + 2]! + 2]!;
  }
  return out;
}

/** Pictures of any sizes as the tower's input [B, crop, crop, 3]. */
export function clipPixels(images: readonly RgbImage[], options: PixelOptions): tf.Tensor4D {
  const { crop, mean, std } = options;
  const length = crop * crop * 3;
  const values = new Float32Array(images.length * length);
  images.forEach((image, i) => {
    normalizeBytes(resizeAndCrop(image, options), mean, std, values, i * length);
  });
  return tf.tensor4d(values, [images.length, crop, crop, 3]);
}
