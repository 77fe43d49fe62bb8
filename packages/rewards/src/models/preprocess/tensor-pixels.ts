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

function filter(source: Float32Array, lines: number, from: number, stride: number, taps: Taps[]) {
  const out = new Float32Array(lines * taps.length * stride);
  for (let line = 0; line < lines; line++) {
    taps.forEach(({ start, weights }, position) => {
      const target = (line * taps.length + position) * stride;
      for (let c = 0; c < stride; c++) {
        let sum = 0;
        let at = (line * from + start) * stride + c;
        for (let k = 0; k < weights.length; k++, at += stride) sum += source[at]! * weights[k]!;
        out[target + c] = sum;
      }
    });
  }
  return out;
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
  if (crop > edge) throw new Error(`A crop of ${crop} does not fit a shorter edge of ${edge}.`);
  const tapsOf = resize === 'antialias' ? bicubicTaps : plainTaps;
  const values = new Float32Array(images.length * crop * crop * 3);
  images.forEach((image, i) => {
    const [width, height] = shorterEdgeSize(image.width, image.height, edge);
    let data: Float32Array = Float32Array.from(image.data, (byte) => byte / 255);
    if (width !== image.width || height !== image.height) {
      data = filter(data, image.height, image.width, 3, tapsOf(image.width, width));
      data = filter(data, 1, image.height, width * 3, tapsOf(image.height, height));
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
