/** `whileLoop` in the program being traced. */
import {
  checkCondition,
  checkSameTensors,
  customVjp,
  flatten,
  isFloat,
  isRecording,
  unflatten,
} from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { XlaBackend } from '../backend';
import { hlo } from '../stablehlo';
import { currentFrame } from '../trace/frame';
import { inBlock, tensorOf, tracedValue, withFreeTensors } from '../trace/values';
import { checkSameTypes } from './check';

export function tracedWhile<S>(cond: (state: S) => tf.Tensor, body: (state: S) => S, state: S): S {
  const backend = tf.backend() as XlaBackend;
  const { tensors, def } = flatten(state, 'whileLoop: state');
  const init = tensors.map((tensor) => tracedValue(tensor, backend));
  const { block } = currentFrame()!;
  const { result: values, free } = withFreeTensors(() => {
    const enter = (args: readonly (typeof init)[number][]): S =>
      unflatten(
        def,
        args.map((value, i) => tensorOf(value, tensors[i]!.dtype, backend)),
      ) as S;
    return hlo.while(
      block,
      init,
      (b, args) => {
        const [condition] = inBlock(b, backend, () => {
          const result = cond(enter(args));
          checkCondition(result);
          return [result];
        });
        return hlo.reshape(b, condition!, []);
      },
      (b, args) => {
        const next = inBlock(b, backend, () => {
          const result = flatten(body(enter(args)), 'whileLoop: state').tensors;
          checkSameTensors('whileLoop: the state', tensors, result);
          return result;
        });
        checkSameTypes('whileLoop: the state', init, next);
        return next;
      },
    );
  });
  const results = () => values.map((value, i) => tensorOf(value, tensors[i]!.dtype, backend));
  const inputs = [...tensors.filter(isFloat), ...free];
  if (!isRecording() || inputs.length === 0) return unflatten(def, results()) as S;
  const outputs = customVjp(inputs, results, () => {
    throw new Error('whileLoop has no gradient inside jit: the number of its steps is not known; use scan');
  });
  return unflatten(def, outputs) as S;
}
