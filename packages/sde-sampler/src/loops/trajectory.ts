import type * as tf from '@tensorflow/tfjs-core';
import { trainableSteps } from '../schedules/plan';
import type { Schedule } from '../schedules/schedule';
import type { StepCoefficients } from '../steps/coefficients';
import type { SampleOptions, Taken } from './engine';

export interface TrajectoryOptions extends SampleOptions {
  /** Which steps to record; default `trainableSteps` of these options. */
  steps?: readonly number[];
}

/** A sampled trajectory at K recorded steps: what a policy gradient needs, step by step. */
export type Trajectory = {
  /** The latents at the end, [B, ...]. */
  final: tf.Tensor;
  /** Indices of the recorded steps, [K] host numbers, ascending. */
  steps: number[];
  /** The model's time of each recorded step, [K]. */
  timesteps: number[];
  /** For each recorded step: x before it, x after it, and its mean, each [B, ...]. */
  latents: tf.Tensor[];
  nextLatents: tf.Tensor[];
  means: tf.Tensor[];
  /** For each recorded step [B]; undefined where it drew nothing. */
  logProbs: (tf.Tensor1D | undefined)[];
  /** The coefficients of each recorded step, for `logProbOfStep`. */
  coefficients: StepCoefficients<number>[];
};

/** The steps a run records, ascending. */
export function recordedSteps(options: TrajectoryOptions): number[] {
  const steps = options.steps ?? trainableSteps(options.schedule, options);
  return [...new Set(steps)].sort((a, b) => a - b);
}

/** What a trajectory keeps of a step. */
export type RecordedStep = Omit<Taken, 'velocity'>;

/** The record of the steps taken; tensors that are the trajectory's own. */
export const trajectoryOf = (
  { times }: Schedule,
  taken: readonly RecordedStep[],
  final: tf.Tensor,
): Trajectory => ({
  final,
  steps: taken.map(({ step }) => step),
  timesteps: taken.map(({ step }) => times[step]!),
  latents: taken.map(({ x }) => x),
  nextLatents: taken.map(({ next }) => next),
  means: taken.map(({ mean }) => mean),
  logProbs: taken.map(({ logProb }) => logProb),
  coefficients: taken.map(({ coefficients }) => coefficients),
});
