import * as tf from '@tensorflow/tfjs-core';

/** Where in the loop a velocity call stands. */
export interface VelocityInfo {
  /** Index of the step, 0 … steps − 1. */
  step: number;
  /** The time as a host number, in the model's convention; `t` holds it [B] times. */
  time: number;
  /** Data time of `time`: 0 noise, 1 data. */
  progress: number;
}

/** A request of the loop for the model's output. */
export interface VelocityRequest {
  x: tf.Tensor;
  info: VelocityInfo;
}

/** A model: its own output at x [B, ...] and t [B], in the schedule's convention; the shape of x. */
export type Velocity = (x: tf.Tensor, t: tf.Tensor1D) => tf.Tensor;

/** A velocity that depends on where in the loop it is called. Every `Velocity` is one. */
export type StepVelocity = (x: tf.Tensor, t: tf.Tensor1D, info: VelocityInfo) => tf.Tensor;

/** A velocity that is not a tfjs operation: it may return a promise, and values in row-major order. */
export type AsyncVelocity = (
  x: tf.Tensor,
  t: tf.Tensor1D,
  info: VelocityInfo,
) => Promise<tf.Tensor | Float32Array | number[]> | tf.Tensor | Float32Array | number[];

/** The output of a velocity as a tensor shaped as x. Throws when it is something else. */
export function asVelocity(output: tf.Tensor | Float32Array | number[], x: tf.Tensor): tf.Tensor {
  if (output instanceof tf.Tensor) {
    if (output.shape.length !== x.rank || output.shape.some((size, axis) => size !== x.shape[axis])) {
      throw new Error(`the velocity has shape [${output.shape}], x has [${x.shape}]`);
    }
    return output;
  }
  if (!ArrayBuffer.isView(output) && !Array.isArray(output)) {
    throw new Error(
      output && typeof (output as PromiseLike<unknown>).then === 'function'
        ? 'the velocity is asynchronous: use sampleAsync or sampleTrajectoryAsync'
        : 'the velocity returned neither a tensor nor values',
    );
  }
  if (output.length !== x.size) throw new Error(`the velocity has ${output.length} values, x has ${x.size}`);
  return tf.tensor(output, x.shape, 'float32');
}
