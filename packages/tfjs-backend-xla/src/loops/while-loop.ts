/** A loop whose number of steps is known only while it runs. */
import * as tf from '@tensorflow/tfjs-core';
import { flatten } from '../pytree';
import { checkSameTensors } from './scan';

/**
 * Repeats `state = body(state)` while `cond(state)`, a boolean scalar, is true.
 *
 * `body` must keep the state's structure, shapes and dtypes. Not differentiable on XLA: use `scan` where
 * gradients are wanted. On other backends the condition is read every step.
 */
export function whileLoop<S>(cond: (state: S) => tf.Tensor, body: (state: S) => S, state: S): S {
  return tf.tidy(() => {
    let current = state;
    while (readCondition(cond(current))) {
      const next = body(current);
      checkSameTensors('whileLoop: the state', flatten(current).tensors, flatten(next).tensors);
      current = next;
    }
    return current as unknown as tf.TensorContainer;
  }) as unknown as S;
}

function readCondition(condition: tf.Tensor): boolean {
  checkCondition(condition);
  return Boolean(condition.dataSync()[0]);
}

/** Throws unless a loop's condition is a boolean scalar. */
export function checkCondition(condition: tf.Tensor): void {
  if (condition.size !== 1 || condition.dtype !== 'bool') {
    throw new Error(
      `whileLoop: the condition must be a bool scalar, not ${condition.dtype} [${condition.shape}]`,
    );
  }
}
