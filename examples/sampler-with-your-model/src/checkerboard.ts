import { seededNoise } from '@flow-grpo/sde-sampler';
import * as tf from '@tensorflow/tfjs-core';

/** The board: 4 × 4 squares over [−2, 2]², the even ones hold data. */
export const boardSize = 4;

/** Whether (x, y) lies on a square with data. */
export function onBoard(x: number, y: number): boolean {
  const [column, row] = [Math.floor(x + 2), Math.floor(y + 2)];
  const inside = column >= 0 && column < boardSize && row >= 0 && row < boardSize;
  return inside && (column + row) % 2 === 0;
}

/** Points on the board [count, 2]; `index` numbers the batch. */
export function boardData(count: number, seed: number, index: number): tf.Tensor2D {
  const uniform = uniforms(3 * count, seed, index);
  const points = Array.from({ length: count }, (_, i) => {
    const square = Math.floor(uniform[3 * i]! * 8);
    const row = Math.floor(square / 2);
    const column = 2 * (square % 2) + (row % 2);
    return [column - 2 + uniform[3 * i + 1]!, row - 2 + uniform[3 * i + 2]!];
  });
  return tf.tensor2d(points);
}

/** Numbers in (0, 1) by a logistic curve over the sampler's own seeded noise: close enough to uniform for a toy. */
function uniforms(count: number, seed: number, index: number): Float32Array {
  const noise = seededNoise(seed)({ step: index, shape: [1, count], sampleIds: [0] });
  const values = Float32Array.from(
    noise.dataSync(),
    (z) => 1 / (1 + Math.exp(-1.5976 * z - 0.07056 * z ** 3)),
  );
  noise.dispose();
  return values;
}
