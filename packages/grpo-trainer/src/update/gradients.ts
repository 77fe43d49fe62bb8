/** Gradients that also tell which tensors have none. */
import '@flow-grpo/tfjs-jit/gradients'; // on every backend: nothing trains without
import * as tf from '@tensorflow/tfjs-core';

interface Tape {
  gradientDepth: number;
  activeTape: { readonly saved?: readonly tf.Tensor[] }[] | null;
}

/**
 * The value of `f` and its gradient by each of `xs`, undefined where no gradient reaches. tfjs's engine tells so, while
 * tf.valueAndGrads says only that there is such a tensor.
 *
 * What `f` throws leaves nothing behind: outside of jit tfjs keeps what its operations saved for a backward pass that does
 * not come.
 *
 * @param dy upstream gradient, of the shape of what `f` gives; 1 for a scalar by default
 */
export function gradientsWhereReached(
  f: () => tf.Tensor,
  xs: tf.Tensor[],
  dy?: tf.Tensor,
): { value: tf.Tensor; grads: (tf.Tensor | undefined)[] } {
  try {
    return tf.engine().gradients(f, xs, dy, true);
  } catch (error) {
    const { state } = tf.engine() as unknown as { state: Tape };
    if (state.gradientDepth === 0) {
      for (const { saved } of state.activeTape ?? []) tf.dispose([...(saved ?? [])]);
      state.activeTape = null;
    }
    throw error;
  }
}
