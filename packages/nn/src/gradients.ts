import * as tf from '@tensorflow/tfjs-core';

/**
 * Runs `fn` and treats its result as a constant: nothing in it is recorded for the backward pass, so neither memory
 * nor time is spent on gradients that are not wanted.
 */
export function stopGradient<T extends tf.Tensor>(fn: () => T): T {
  // Work inside a custom gradient stays off the tape, and without inputs no gradient can reach it.
  const detached = tf.customGrad(() => ({ value: fn(), gradFunc: () => [] }));
  return detached() as T;
}
