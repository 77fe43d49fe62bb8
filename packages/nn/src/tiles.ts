/** Processes large images tile by tile, for VAEs whose memory a whole image would exceed. */
import * as tf from '@tensorflow/tfjs-core';

export interface TilingOptions {
  /** Side of a tile in image pixels, a multiple of the VAE's spatial factor. Default 256. */
  tile?: number;
  /** Pixels that neighbouring tiles share and fade over, a multiple of the factor. Default 64. */
  overlap?: number;
}

/** Tile size and overlap in pixels. @throws unless they are multiples of `factor`, the overlap the smaller */
export function tileSizes(
  { tile = 256, overlap = 64 }: TilingOptions,
  factor: number,
): { tile: number; overlap: number } {
  if (!(tile > 0 && overlap >= 0 && overlap < tile) || tile % factor || overlap % factor) {
    throw new Error(
      `tiling: tile (${tile}) and overlap (${overlap}) must be multiples of ${factor}, the overlap the smaller`,
    );
  }
  return { tile, overlap };
}

/** Where tiles of one axis start, and how much each output pixel of each tile counts; the shares sum to 1. */
interface Axis {
  starts: number[];
  length: number;
  shares: Float32Array[];
}

/** Tiles all have one size, so that a compiling backend compiles once: the last one overlaps more. */
function splitAxis(size: number, tile: number, overlap: number, scale: number): Axis {
  const length = Math.min(tile, size);
  const starts: number[] = [];
  for (let start = 0; start + length < size; start += tile - overlap) starts.push(start);
  starts.push(size - length);
  const total = new Float32Array(size * scale);
  const shares = starts.map((start, i) => {
    const ramp = overlap * scale + 1;
    const share = Float32Array.from({ length: length * scale }, (_, at) => {
      const fromLeft = i === 0 ? 1 : Math.min(1, (at + 1) / ramp);
      const fromRight = i === starts.length - 1 ? 1 : Math.min(1, (length * scale - at) / ramp);
      return fromLeft * fromRight;
    });
    for (let at = 0; at < share.length; at++) total[start * scale + at]! += share[at]!;
    return share;
  });
  shares.forEach((share, i) => {
    for (let at = 0; at < share.length; at++) share[at]! /= total[starts[i]! * scale + at]!;
  });
  return { starts, length, shares };
}

/**
 * Applies `run` to overlapping tiles of x [B, H, W, C] and blends the results, so that only one tile needs memory beside the
 * whole image. An x that fits one tile is run whole. `scale` is how much larger results are than their tiles.
 */
export function mapTiles(
  x: tf.Tensor4D,
  tile: number,
  overlap: number,
  scale: number,
  run: (part: tf.Tensor4D) => tf.Tensor4D,
): tf.Tensor4D {
  const [batch, height, width, channels] = x.shape;
  if (height <= tile && width <= tile) return run(x);
  const rows = splitAxis(height, tile, overlap, scale);
  const columns = splitAxis(width, tile, overlap, scale);
  let sum: tf.Tensor4D | undefined;
  rows.starts.forEach((top, r) => {
    columns.starts.forEach((left, c) => {
      const before = sum;
      sum = tf.tidy(() => {
        const part = tf.slice(x, [0, top, left, 0], [batch, rows.length, columns.length, channels]);
        const share = tf.mul(
          tf.tensor(rows.shares[r]!, [1, rows.length * scale, 1, 1]),
          tf.tensor(columns.shares[c]!, [1, 1, columns.length * scale, 1]),
        );
        const around = (start: number, length: number, size: number): [number, number] => [
          start * scale,
          (size - start - length) * scale,
        ];
        const placed = tf.pad(tf.mul(run(part), share), [
          [0, 0],
          around(top, rows.length, height),
          around(left, columns.length, width),
          [0, 0],
        ]) as tf.Tensor4D;
        return before ? (tf.add(before, placed) as tf.Tensor4D) : placed;
      });
      before?.dispose();
    });
  });
  return sum!;
}

/**
 * Decodes latents tile by tile.
 *
 * @param latents [B, h, w, C]
 * @param factor how much larger images are than latents
 * @returns images [B, factor · h, factor · w, …]
 */
export function decodeInTiles(
  latents: tf.Tensor4D,
  factor: number,
  options: TilingOptions,
  decodeTile: (part: tf.Tensor4D) => tf.Tensor4D,
): tf.Tensor4D {
  const { tile, overlap } = tileSizes(options, factor);
  return mapTiles(latents, tile / factor, overlap / factor, factor, decodeTile);
}

/** Encodes images [B, H, W, 3] tile by tile, the reverse of {@link decodeInTiles}. */
export function encodeInTiles(
  images: tf.Tensor4D,
  factor: number,
  options: TilingOptions,
  encodeTile: (part: tf.Tensor4D) => tf.Tensor4D,
): tf.Tensor4D {
  const { tile, overlap } = tileSizes(options, factor);
  return mapTiles(images, tile, overlap, 1 / factor, encodeTile);
}
