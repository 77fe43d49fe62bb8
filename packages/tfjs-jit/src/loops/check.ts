/** What a loop's step must keep. */
import type * as tf from '@tensorflow/tfjs-core';

/** Throws unless a loop body returned tensors of the shapes and dtypes it was given. */
export function checkSameTensors(
  what: string,
  before: readonly tf.Tensor[],
  after: readonly tf.Tensor[],
): void {
  if (before.length !== after.length) {
    throw new Error(`${what} had ${before.length} tensors and came back with ${after.length}`);
  }
  for (const [i, a] of before.entries()) {
    const b = after[i]!;
    if (
      a.dtype !== b.dtype ||
      a.shape.length !== b.shape.length ||
      a.shape.some((d, j) => d !== b.shape[j])
    ) {
      throw new Error(
        `${what}: tensor ${i} changed from ${a.dtype} [${a.shape}] to ${b.dtype} [${b.shape}]; a loop keeps shapes and dtypes`,
      );
    }
  }
}

/** Throws unless a loop's condition is a boolean scalar. */
export function checkCondition(condition: tf.Tensor): void {
  if (condition.size !== 1 || condition.dtype !== 'bool') {
    throw new Error(
      `whileLoop: the condition must be a bool scalar, not ${condition.dtype} [${condition.shape}]`,
    );
  }
}
