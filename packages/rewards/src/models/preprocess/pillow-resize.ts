import type { RgbImage } from '../../images';
import { bicubicTaps } from './bicubic-filter';

/** Fraction bits of Pillow's 8-bit coefficients: 32 less 8 for the sample and 2 of headroom. */
const FRACTION_BITS = 22;
const HALF = 1 << (FRACTION_BITS - 1);

interface FixedTaps {
  start: number;
  weights: Int32Array;
}

function fixedTaps(from: number, to: number): FixedTaps[] {
  return bicubicTaps(from, to).map(({ start, weights }) => ({
    start,
    weights: Int32Array.from(weights, (w) => Math.trunc(w * 2 ** FRACTION_BITS + (w < 0 ? -0.5 : 0.5))),
  }));
}

/** Filters `source` [lines, from, 3 · inner] along its middle axis; every sum is rounded and clamped to a byte. */
function filter(source: Uint8Array, lines: number, from: number, stride: number, taps: FixedTaps[]) {
  const out = new Uint8ClampedArray(lines * taps.length * stride);
  for (let line = 0; line < lines; line++) {
    const base = line * from * stride;
    taps.forEach(({ start, weights }, position) => {
      const target = (line * taps.length + position) * stride;
      for (let c = 0; c < stride; c++) {
        let sum = HALF;
        let at = base + start * stride + c;
        for (let k = 0; k < weights.length; k++, at += stride) sum = (sum + source[at]! * weights[k]!) | 0;
        out[target + c] = sum >> FRACTION_BITS;
      }
    });
  }
  return new Uint8Array(out.buffer);
}

/**
 * Pillow 10.4's `Image.resize(size, BICUBIC)` for RGB, byte for byte: the horizontal pass first, 22-bit
 * fixed-point coefficients, rounding and clamping after each pass. A pass that keeps its size is skipped.
 * Throws a RangeError for sizes below 1.
 */
export function pillowResize(image: RgbImage, width: number, height: number): RgbImage {
  if (!(width >= 1 && height >= 1 && image.width >= 1 && image.height >= 1)) {
    throw new RangeError(`Cannot resize ${image.width} x ${image.height} pixels to ${width} x ${height}.`);
  }
  let data = image.data;
  if (width !== image.width) {
    data = filter(data, image.height, image.width, 3, fixedTaps(image.width, width));
  }
  if (height !== image.height) {
    data = filter(data, 1, image.height, width * 3, fixedTaps(image.height, height));
  }
  return { data: data === image.data ? data.slice() : data, width, height };
}
