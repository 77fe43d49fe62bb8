/** Rotary tables over three axes: frame, row, column. */
import type { RotaryTables } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import type { TransformerConfig } from './config';

/** Rows and columns of an image in tokens. */
export type Grid = readonly [rows: number, columns: number];

/** Cosines or sines [positions, dim / 2] of one axis: angles in float64, rounded to float32 as upstream does. */
function axisTable(
  { axesDims, ropeTheta }: TransformerConfig,
  axis: 0 | 1 | 2,
  positions: readonly number[],
  of: (angle: number) => number,
): tf.Tensor2D {
  const half = axesDims[axis] / 2;
  const values = positions.flatMap((position) =>
    Array.from({ length: half }, (_, j) => of(Math.fround(position / ropeTheta ** (j / half)))),
  );
  return tf.tensor2d(values, [positions.length, half]);
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);
const both = (make: (of: (angle: number) => number) => tf.Tensor): RotaryTables => ({
  cos: make(Math.cos),
  sin: make(Math.sin),
});

/** Positions (1 + k, 0, 0) of caption tokens, padding included: tables [1, length, 1, D/2]. */
export function captionRotary(config: TransformerConfig, length: number): RotaryTables {
  const most = config.axesLens[0] - 2; // the image's frame comes behind
  if (length > most)
    throw new Error(`A caption of ${length} tokens, padding included, is longer than ${most}.`);
  const rest = (config.axesDims[1] + config.axesDims[2]) / 2;
  return both((of) => {
    const frames = axisTable(config, 0, upTo(length + 1).slice(1), of);
    return tf.reshape(tf.concat([frames, tf.fill([length, rest], of(0))], 1), [1, length, 1, -1]);
  });
}

/**
 * Positions of image tokens, padded to `length`: (caption + 1, row, column), and (0, 0, 0) of padding. The frame follows the
 * padded caption, whose lengths may be known on the device alone.
 *
 * @param grids of every item, or one for all
 * @param captionLengths int32 [B], padding included
 * @returns tables [B, length, 1, D/2]
 */
export function imageRotary(
  config: TransformerConfig,
  grids: readonly Grid[],
  length: number,
  captionLengths: tf.Tensor,
): RotaryTables {
  const [, mostRows, mostColumns] = config.axesLens;
  for (const grid of grids) {
    if (grid[0] > mostRows || grid[1] > mostColumns) {
      throw new Error(
        `An image of ${grid.join(' x ')} tokens is larger than the model's ${mostRows} x ${mostColumns}.`,
      );
    }
  }
  const batch = captionLengths.shape[0]!;
  const frames = tf.add(captionLengths, tf.scalar(1, 'int32')) as tf.Tensor1D;
  return both((of) => {
    const nowhere = of(0);
    /** Padding stands at position 0 of every axis. */
    const padded = (rows: tf.Tensor, count: number) =>
      tf.pad(
        rows,
        [
          [0, length - count],
          [0, 0],
        ],
        nowhere,
      );
    const planes = grids.map(([rows, columns]) => {
      const count = rows * columns;
      const wide = (table: tf.Tensor, shape: number[]) =>
        tf.reshape(tf.add(tf.reshape(table, shape), tf.zeros([rows, columns, 1])), [count, -1]);
      const row = wide(axisTable(config, 1, upTo(rows), of), [rows, 1, -1]);
      const column = wide(axisTable(config, 2, upTo(columns), of), [1, columns, -1]);
      return padded(tf.concat([row, column], 1), count);
    });
    const isImage = tf.stack(grids.map((grid) => imageMask(grid, length)));
    const own = tf.gather(axisTable(config, 0, upTo(config.axesLens[0]), of), frames);
    const nothing = tf.mul(tf.sub(1, isImage), nowhere);
    const frame = tf.add(tf.mul(isImage, tf.expandDims(own, 1)), nothing);
    const plane = tf.add(tf.stack(planes), tf.zeros([batch, 1, 1]));
    return tf.expandDims(tf.concat([frame, plane], 2), 2);
  });
}

/** 1 at image tokens, 0 at padding, [length, 1]. */
export const imageMask = ([rows, columns]: Grid, length: number): tf.Tensor2D =>
  tf.tensor2d(
    upTo(length).map((i) => (i < rows * columns ? 1 : 0)),
    [length, 1],
  );
