/** A loop whose number of steps is known only while it runs. */
import type * as tf from '@tensorflow/tfjs-core';
import { activeCompiler } from '../compiler';
import { flatten, tidy } from '../tree';
import { checkCondition, checkSameTensors } from './check';

/**
 * Repeats `state = body(state)` while `cond(state)`, a boolean scalar, is true.
 *
 * `body` must keep the state's structure, shapes and dtypes. Not differentiable inside jit: use `scan` where
 * gradients are wanted. Outside of a compiled function the condition is read at every step.
 */
export function whileLoop<S>(cond: (state: S) => tf.Tensor, body: (state: S) => S, state: S): S {
  const compiler = activeCompiler();
  if (compiler?.isTracing()) return compiler.whileLoop(cond, body, state);
  return tidy(() => {
    let current = state;
    while (readCondition(cond(current))) {
      const next = body(current);
      checkSameTensors('whileLoop: the state', flatten(current).tensors, flatten(next).tensors);
      current = next;
    }
    return current;
  });
}

function readCondition(condition: tf.Tensor): boolean {
  checkCondition(condition);
  return Boolean(condition.dataSync()[0]);
}
