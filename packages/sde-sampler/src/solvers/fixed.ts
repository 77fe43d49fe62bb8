import * as tf from '@tensorflow/tfjs-core';
import type { VelocityRequest } from '../loops/velocity';

/** Solvers with a fixed number of velocities per step: Euler (order 1), Heun and midpoint (order 2). */
export type OdeSolver = 'euler' | 'heun' | 'midpoint';

type Ask = (x: tf.Tensor, time: number) => VelocityRequest;

/**
 * The velocity that carries x from `time` to `timeNext` in one straight line, given the velocity at x. Times and
 * velocity are the model's: with SD3's clock both the step and the velocity change sign, and the product not.
 */
type FixedSolver = (
  x: tf.Tensor,
  velocity: tf.Tensor,
  time: number,
  timeNext: number,
  ask: Ask,
) => Generator<VelocityRequest, tf.Tensor, tf.Tensor>;

// biome-ignore lint/correctness/useYield: Euler needs no further velocity
const euler: FixedSolver = function* (_x, velocity) {
  return velocity;
};

/** The trapezoid rule with an Euler predictor. */
const heun: FixedSolver = function* (x, velocity, time, timeNext, ask) {
  const ahead = tf.add(x, tf.mul(velocity, timeNext - time));
  const second = yield ask(ahead, timeNext);
  return tf.mul(tf.add(velocity, second), 0.5);
};

const midpoint: FixedSolver = function* (x, velocity, time, timeNext, ask) {
  const half = (timeNext - time) / 2;
  return yield ask(tf.add(x, tf.mul(velocity, half)), time + half);
};

export const fixedSolvers: Readonly<Record<OdeSolver, FixedSolver>> = { euler, heun, midpoint };
