import type { RgbImage } from '../../images';
import { bicubicTaps } from './bicubic-filter';

/** Fraction bits of Pillow's 8-bit coefficients: 32 less 8 for the sample and 2 of headroom. */
export const FRACTION_BITS = 22;
/** What rounds a sum of samples times coefficients. */
export const HALF = 1 << (FRACTION_BITS - 1);

export interface FixedTaps {
  start: number;
  weights: Int32Array;
}

/** Pillow's taps that bring `from` bytes to `to`, times 2^22 and rounded half away from zero. */
export function fixedTaps(from: number, to: number): FixedTaps[] {
  return bicubicTaps(from, to).map(({ start, weights }) => ({
    start,
    weights: Int32Array.from(weights, (w) => Math.trunc(w * 2 ** FRACTION_BITS + (w < 0 ? -0.5 : 0.5))),
  }));
}

/** Every row of `height` rows of `from` pixels to as many pixels as there are taps. */
function resizeRows(source: Uint8Array, height: number, from: number, taps: FixedTaps[]): Uint8Array {
  const out = new Uint8ClampedArray(height * taps.length * 3);
  let target = 0;
  for (let y = 0; y < height; y++) {
    for (const { start, weights } of taps) {
      let at = 3 * (y * from + start);
      let r = HALF;
      let g = HALF;
      let b = HALF;
      for (let k = 0; k < weights.length; k++, at += 3) {
        const weight = weights[k]!;
        r = (r + Math.imul(source[at]!, weight)) | 0;
        g = (g + Math.imul(source[at + 1]!, weight)) | 0;
        b = (b + Math.imul(source[at + 2]!, weight)) | 0;
      }
      out[target++] = r >> FRACTION_BITS;
      out[target++] = g >> FRACTION_BITS;
      out[target++] = b >> FRACTION_BITS;
    }
  }
  return new Uint8Array(out.buffer);
}

/** Rows of `length` bytes to as many rows as there are taps; sums row by row, in memory order. */
function resizeColumns(source: Uint8Array, length: number, taps: FixedTaps[]): Uint8Array {
  const out = new Uint8ClampedArray(taps.length * length);
  const sums = new Int32Array(length);
  taps.forEach(({ start, weights }, y) => {
    sums.fill(HALF);
    for (let k = 0; k < weights.length; k++) {
      const weight = weights[k]!;
      const row = (start + k) * length;
      for (let i = 0; i < length; i++) sums[i]! += Math.imul(source[row + i]!, weight);
    }
    for (let i = 0; i < length; i++) out[y * length + i] = sums[i]! >> FRACTION_BITS;
  });
  return new Uint8Array(out.buffer);
}

/** Throws a RangeError for sizes below 1. */
export function checkSizes(from: { width: number; height: number }, width: number, height: number): void {
  if (width >= 1 && height >= 1 && from.width >= 1 && from.height >= 1) return;
  throw new RangeError(`Cannot resize ${from.width} x ${from.height} pixels to ${width} x ${height}.`);
}

/**
 * Pillow 10.4's `Image.resize(size, BICUBIC)` for RGB, byte for byte: the horizontal pass first, 22-bit
 * fixed-point coefficients, rounding and clamping after each pass. A pass that keeps its size is skipped.
 * Throws a RangeError for sizes below 1.
 */
export function pillowResize(image: RgbImage, width: number, height: number): RgbImage {
  checkSizes(image, width, height);
  let data = image.data;
  if (width !== image.width)
    data = resizeRows(data, image.height, image.width, fixedTaps(image.width, width));
  if (height !== image.height) data = resizeColumns(data, 3 * width, fixedTaps(image.height, height));
  return { data: data === image.data ? data.slice() : data, width, height };
}
