/** Windows that move over an image: what pooling and dilation look at. */
import { type Block, hlo, type Value } from '../stablehlo';

/** A window moving over the axes between batch and channels. */
export interface Window {
  readonly inSize: number[];
  readonly outSize: number[];
  readonly size: number[];
  readonly strides: number[];
  readonly dilations: number[];
  /** Padding on both sides; what is behind the last window is cut, so it may be negative. */
  readonly padding: [number, number][];
}

/** Values for the axes of the space, with one for batch and channels. */
export const around = <T>(space: readonly T[], edge: T): T[] => [edge, ...space, edge];

/** Every offset inside a window, in row-major order. */
export function offsets(size: readonly number[]): number[][] {
  return size.reduce<number[][]>(
    (list, n) => list.flatMap((o) => Array.from({ length: n }, (_, i) => [...o, i])),
    [[]],
  );
}

/** x padded so that all windows lie inside it. */
export function padForWindows(b: Block, x: Value, w: Window, value: number): Value {
  return hlo.pad(
    b,
    x,
    hlo.scalar(b, value, x.dtype),
    around(
      w.padding.map((p) => p[0]),
      0,
    ),
    around(
      w.padding.map((p) => p[1]),
      0,
    ),
  );
}

/** The element at one offset of every window. */
export function atOffset(b: Block, padded: Value, w: Window, offset: readonly number[]): Value {
  const starts = around(
    offset.map((o, i) => o * w.dilations[i]!),
    0,
  );
  const limits = padded.shape.map((d, i) => {
    if (i === 0 || i === padded.shape.length - 1) return d;
    return starts[i]! + (w.outSize[i - 1]! - 1) * w.strides[i - 1]! + 1;
  });
  return hlo.slice(b, padded, starts, limits, around(w.strides, 1));
}
