/** The filter taps of one output position: `weights` apply from input position `start` on. */
export interface Taps {
  start: number;
  weights: Float64Array;
}

/** Keys' cubic with a = -0.5, the one of Pillow and of PyTorch's antialiased resize. */
function cubic(distance: number): number {
  const a = -0.5;
  const x = Math.abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/**
 * The normalised taps that bring `from` samples to `to`: half-pixel centres, the support widened when
 * shrinking (antialiasing), cut off at the borders.
 */
export function bicubicTaps(from: number, to: number): Taps[] {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = 2 * stretch;
  const inverse = 1 / stretch;
  return Array.from({ length: to }, (_, position) => {
    const center = (position + 0.5) * scale;
    const start = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), from);
    const weights = new Float64Array(end - start);
    let sum = 0;
    for (let k = 0; k < weights.length; k++) {
      weights[k] = cubic((k + start - center + 0.5) * inverse);
      sum += weights[k]!;
    }
    if (sum !== 0) for (let k = 0; k < weights.length; k++) weights[k]! /= sum;
    return { start, weights };
  });
}
