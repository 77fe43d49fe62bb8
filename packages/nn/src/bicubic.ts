import * as tf from '@tensorflow/tfjs-core';

const A = -0.75;

/** Keys' cubic convolution weights of the four neighbours at fraction `t` past the second. */
function cubicWeights(t: number): [number, number, number, number] {
  const near = (d: number) => ((A + 2) * d - (A + 3)) * d * d + 1;
  const far = (d: number) => ((A * d - 5 * A) * d + 8 * A) * d - 4 * A;
  return [far(t + 1), near(t), near(1 - t), far(2 - t)];
}

/** The [to, from] matrix of a one-dimensional bicubic resize: half-pixel centres, clamped borders. */
export function bicubicMatrix(from: number, to: number): Float32Array {
  const matrix = new Float32Array(to * from);
  const scale = from / to;
  for (let row = 0; row < to; row++) {
    const source = (row + 0.5) * scale - 0.5;
    const base = Math.floor(source);
    cubicWeights(source - base).forEach((weight, k) => {
      const column = Math.min(Math.max(base + k - 1, 0), from - 1);
      matrix[row * from + column]! += weight;
    });
  }
  return matrix;
}

/**
 * Resizes a learned position table [gridHeight * gridWidth, D] to [height * width, D] as PyTorch's
 * `interpolate(mode='bicubic', align_corners=False)` does (a = -0.75, no antialiasing). Differentiable.
 */
export function interpolatePositions(
  table: tf.Tensor,
  grid: [height: number, width: number],
  size: [height: number, width: number],
): tf.Tensor {
  const [fromHeight, fromWidth] = grid;
  const [height, width] = size;
  const depth = table.shape[1]!;
  if (table.shape[0] !== fromHeight * fromWidth) {
    throw new Error(`A position table of ${table.shape[0]} rows is not a ${fromHeight} x ${fromWidth} grid.`);
  }
  const columns = tf.tensor2d(bicubicMatrix(fromWidth, width), [width, fromWidth]);
  const rows = tf.tensor2d(bicubicMatrix(fromHeight, height), [height, fromHeight]);
  const lines = tf.transpose(tf.reshape(table, [fromHeight, fromWidth, depth]), [1, 0, 2]);
  const widened = tf.reshape(tf.matMul(columns, tf.reshape(lines, [fromWidth, fromHeight * depth])), [
    width,
    fromHeight,
    depth,
  ]);
  const upright = tf.reshape(tf.transpose(widened, [1, 0, 2]), [fromHeight, width * depth]);
  return tf.reshape(tf.matMul(rows, upright as tf.Tensor2D), [height * width, depth]);
}
