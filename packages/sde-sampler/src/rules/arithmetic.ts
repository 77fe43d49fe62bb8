import * as tf from '@tensorflow/tfjs-core';

/**
 * The few operations the step rules are written in, so that each formula exists once and runs on host doubles
 * (one schedule for the batch) and on [B] tensors (per-sample times and noise levels inside a jit).
 */
export interface Arithmetic<N> {
  constant(value: number): N;
  add(a: N, b: N): N;
  sub(a: N, b: N): N;
  mul(a: N, b: N): N;
  div(a: N, b: N): N;
  sqrt(a: N): N;
  sin(a: N): N;
  log(a: N): N;
  max(a: N, b: N): N;
  /** `then` where `condition` > 0, else `otherwise`. */
  ifPositive(condition: N, then: N, otherwise: N): N;
}

export const doubles: Arithmetic<number> = {
  constant: (value) => value,
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  sqrt: Math.sqrt,
  sin: Math.sin,
  log: Math.log,
  max: Math.max,
  ifPositive: (condition, then, otherwise) => (condition > 0 ? then : otherwise),
};

export const tensors: Arithmetic<tf.Tensor> = {
  constant: (value) => tf.scalar(value),
  add: tf.add,
  sub: tf.sub,
  mul: tf.mul,
  div: tf.div,
  sqrt: tf.sqrt,
  sin: tf.sin,
  log: tf.log,
  max: tf.maximum,
  ifPositive: (condition, then, otherwise) => tf.where(tf.greater(condition, 0), then, otherwise),
};
