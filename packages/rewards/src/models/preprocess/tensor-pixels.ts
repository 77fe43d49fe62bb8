import { bicubicMatrix } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import type { RgbImage } from '../../images';
import { bicubicTaps, type Taps } from './bicubic-filter';
import type { PixelOptions } from './clip-pixels';
import { cropOffset, shorterEdgeSize } from './crop';

/** How torchvision resizes float tensors: with antialiasing (its newer versions) or without. */
export type TensorResize = 'antialias' | 'plain';

/** PyTorch's bicubic without antialiasing (a = -0.75) as taps; borders are clamped. */
function plainTaps(from: number, to: number): Taps[] {
  const matrix = bicubicMatrix(from, to);
  return Array.from({ length: to }, (_, row) => {
    const start = Math.max(Math.min(Math.floor((row + 0.5) * (from / to) - 0.5) - 1, from - 1), 0);
    const end = Math.min(start + 4, from);
    return { start, weights: Float64Array.from(matrix.subarray(row * from + start, row * from + end)) };
  });
}

/** The taps of this resize that bring `from` samples to `to`. */
export const tensorTaps = (resize: TensorResize): ((from: number, to: number) => Taps[]) =>
  resize === 'antialias' ? bicubicTaps : plainTaps;

/** Every row of `height` rows of `from` pixels to as many pixels as there are taps. */
function resizeRows(source: Float32Array, height: number, from: number, taps: Taps[]): Float32Array {
  const out = new Float32Array(height * taps.length * 3);
  let target = 0;
  for (let y = 0; y < height; y++) {
    for (const { start, weights } of taps) {
      let at = 3 * (y * from + start);
      let r = 0;
      let g = 0;
      let b = 0;
      for (let k = 0; k < weights.length; k++, at += 3) {
        const weight = weights[k]!;
        r += source[at]! * weight;
        g += source[at + 1]! * weight;
        b += source[at + 2]! * weight;
      }
      out[target++] = r;
      out[target++] = g;
      out[target++] = b;
    }
  }
  return out;
}

/** Rows of `length` values to as many rows as there are taps. */
function resizeColumns(source: Float32Array, length: number, taps: Taps[]): Float32Array {
  const out = new Float32Array(taps.length * length);
  const sums = new Float64Array(length);
  taps.forEach(({ start, weights }, y) => {
    sums.fill(0);
    for (let k = 0; k < weights.length; k++) {
      const weight = weights[k]!;
      const row = (start + k) * length;
      for (let i = 0; i < length; i++) sums[i]! += source[row + i]! * weight;
    }
    out.set(sums, y * length);
  });
  return out;
}

/** Throws when the crop is larger than the resized picture. */
export function checkCrop({ edge, crop }: PixelOptions): void {
  if (crop > edge) throw new Error(`A crop of ${crop} does not fit a shorter edge of ${edge}.`);
}

/**
 * hpsv2's way: bytes to floats in [0, 1] first, then torchvision's bicubic on the tensor (not rounded, not
 * clamped), the centre crop with offsets rounded half to even, and the statistics. [B, crop, crop, 3].
 * Throws when the crop is larger than the resized picture.
 */
export function tensorPixels(
  images: readonly RgbImage[],
  options: PixelOptions,
  resize: TensorResize = 'antialias',
): tf.Tensor4D {
  const { edge, crop, mean, std } = options;
  checkCrop(options);
  const tapsOf = tensorTaps(resize);
  const values = new Float32Array(images.length * crop * crop * 3);
  images.forEach((image, i) => {
    const [width, height] = shorterEdgeSize(image.width, image.height, edge);
    let data: Float32Array = new Float32Array(image.data.length);
    for (let at = 0; at < data.length; at++) data[at] = image.data[at]! / 255;
    if (width !== image.width || height !== image.height) {
      data = resizeRows(data, image.height, image.width, tapsOf(image.width, width));
      data = resizeColumns(data, 3 * width, tapsOf(image.height, height));
    }
    const top = cropOffset(height, crop, 'even');
    const left = cropOffset(width, crop, 'even');
    for (let y = 0; y < crop; y++) {
      const row = ((top + y) * width + left) * 3;
      const target = (i * crop + y) * crop * 3;
      for (let k = 0; k < crop * 3; k++) {
        values[target + k] = (data[row + k]! - mean[k % 3]!) / std[k % 3]!;
      }
    }
  });
  return tf.tensor4d(values, [images.length, crop, crop, 3]);
}
