import * as tf from '@tensorflow/tfjs-core';
import { along, meanOfSample } from '../broadcast';
import { stopGradient } from '../stop-gradient';
import { coefficientsOf, type StepCoefficients, type StepSpec, type StepTensors } from './coefficients';

/** What a step gives. Shapes as x [B, ...] unless said. */
export type StepResult = {
  mean: tf.Tensor;
  /** The standard deviation of `next` about `mean`: a number, a scalar or [B]. */
  std: number | tf.Tensor;
  next: tf.Tensor;
  /**
   * [B]; undefined where the step is known to draw nothing (host coefficients with std 0). Rows of tensor
   * coefficients with std 0 hold 0, which is not a probability.
   */
  logProb: tf.Tensor1D | undefined;
};

export interface StepInput {
  /** [B, ...], any rank from 1. */
  x: tf.Tensor;
  /** The model's output at x, in the convention of the coefficients. */
  velocity: tf.Tensor;
}

/** A step to be drawn. */
export interface DrawInput extends StepInput {
  /** Standard normal, shaped as x; needed unless the step is known to be deterministic. */
  noise?: tf.Tensor;
}

/** The change of the mean over the step, mean − x, from coefficients made ready. */
function driftOf(c: StepCoefficients, { x, velocity }: StepInput): tf.Tensor {
  const push = tf.mul(velocity, along(c.velocityCoefficient, x));
  return c.xCoefficient === 0 ? push : tf.add(tf.mul(x, along(c.xCoefficient, x)), push);
}

/** The mean of the step. With std 0 it is x + velocity·dt: the Euler step of the ODE, bit for bit. */
export const stepMean = (c: StepCoefficients, input: StepInput): tf.Tensor =>
  tf.tidy(() => tf.add(input.x, driftOf(c, input)));

/** σ_t = std/√dt, which flow_grpo calls std_dev_t: 0 where the step draws nothing. */
export function stepSigma({ std, dt }: StepCoefficients<number>): number;
export function stepSigma({ std, dt }: StepTensors): tf.Tensor;
export function stepSigma({ std, dt }: StepCoefficients): number | tf.Tensor {
  if (typeof std === 'number' && typeof dt === 'number') return std / Math.sqrt(dt);
  return tf.tidy(() => tf.div(std, tf.sqrt(dt)));
}

/** Takes a step. Nothing is read back: it runs inside a jit, and under a scan over `stackSteps`. */
export function applyStep(c: StepCoefficients, input: DrawInput): StepResult {
  const { mean, next } = drawStep(c, input);
  const logProb = c.std === 0 ? undefined : logProbOfStep(c, { ...input, next });
  return { mean, std: c.std, next, logProb };
}

/** The step without its log-probability, which on an eager backend is half of the work. */
export function drawStep(c: StepCoefficients, input: DrawInput): Pick<StepResult, 'mean' | 'next'> {
  const { x, noise } = input;
  checkShapes(input);
  const mean = stepMean(c, input);
  if (c.std === 0) return { mean, next: tf.clone(mean) };
  if (!noise) throw new Error('a step with noise needs `noise`, standard normal and shaped as x');
  if (!sameShape(noise, x)) throw new Error(`noise has shape [${noise.shape}], x [${x.shape}]`);
  const next = tf.tidy(() => {
    const std = along(c.std, x);
    const drawn = tf.add(mean, tf.mul(noise, std));
    // A row without noise must be the ODE's to the bit, and mean + 0·noise is not at −0 or where noise overflows.
    return typeof std === 'number'
      ? drawn
      : tf.where(tf.broadcastTo(tf.greater(std, 0), x.shape), drawn, mean);
  });
  return { mean, next };
}

/**
 * log p(next | x) under the step, [B], averaged over all but the batch axis; differentiable in velocity.
 * The gradient does not flow into `next`: it is the sample that was drawn.
 *
 * The residual is (next − x) − drift: the first difference is nearly exact in floating point and the drift is
 * small, so the error is relative to the step, not to x. A rollout and an update that both come here with the
 * same numbers get the same bits, and a ratio of exactly 1.
 */
export function logProbOfStep(c: StepCoefficients, input: StepInput & { next: tf.Tensor }): tf.Tensor1D {
  const { x, next } = input;
  checkShapes(input);
  if (!sameShape(next, x)) throw new Error(`next has shape [${next.shape}], x [${x.shape}]`);
  if (c.std === 0) throw new RangeError('a step without noise has no log-probability; see trainableSteps');
  return tf.tidy(() => {
    const moved = tf.sub(stopGradient(next), x);
    const residual = tf.mul(tf.sub(moved, driftOf(c, input)), along(c.residualScale, x));
    const constant = typeof c.logConstant === 'number' ? c.logConstant : tf.reshape(c.logConstant, [-1]);
    return tf.sub(constant, tf.mul(meanOfSample(tf.square(residual)), 0.5)) as tf.Tensor1D;
  });
}

/** One step by a rule, from times and a noise level: see `StepSpec`, `applyStep`. */
export const sdeStep = (step: StepSpec & DrawInput): StepResult =>
  tf.tidy(() => applyStep(coefficientsOf(step), step));

/** The log-probability [B] of a next sample that was drawn before: the update's path. See `logProbOfStep`. */
export const logProbOf = (next: tf.Tensor, step: StepSpec & StepInput): tf.Tensor1D =>
  tf.tidy(() => logProbOfStep(coefficientsOf(step), { ...step, next }));

const sameShape = (a: tf.Tensor, b: tf.Tensor) =>
  a.rank === b.rank && a.shape.every((size, axis) => size === b.shape[axis]);

function checkShapes({ x, velocity }: StepInput): void {
  if (x.rank < 1) throw new Error('x needs a batch axis: [B, ...]');
  if (!sameShape(x, velocity)) throw new Error(`velocity has shape [${velocity.shape}], x [${x.shape}]`);
}
