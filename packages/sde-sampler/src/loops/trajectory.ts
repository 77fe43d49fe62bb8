import type * as tf from '@tensorflow/tfjs-core';
import { trainableSteps } from '../schedules/plan';
import { type Schedule, stepsOf } from '../schedules/schedule';
import type { StepCoefficients } from '../steps/coefficients';
import type { SampleOptions, Taken } from './engine';

export interface TrajectoryOptions extends SampleOptions {
  /** Which steps to record, ascending; default `trainableSteps` of these options. */
  steps?: readonly number[];
}

/** A sampled trajectory at K recorded steps: what a policy gradient needs, step by step. */
export interface Trajectory {
  /** The latents at the end, [B, ...]. */
  final: tf.Tensor;
  /** Indices of the recorded steps, [K] host numbers. */
  steps: number[];
  /** The model's time of each recorded step, [K]. */
  timesteps: number[];
  /** For each recorded step: x before it, x after it, and its mean, each [B, ...]. */
  latents: tf.Tensor[];
  nextLatents: tf.Tensor[];
  means: tf.Tensor[];
  /** For each recorded step [B]; null where it drew nothing. */
  logProbs: (tf.Tensor1D | null)[];
  /** The coefficients of each recorded step, for `logProbOfStep`. */
  coefficients: StepCoefficients<number>[];
}

/** The recorded steps of a run, ascending. Throws where a step is not in the schedule. */
export function recordedSteps(options: TrajectoryOptions): number[] {
  const steps = options.steps ?? trainableSteps(options.schedule, options);
  return [...new Set(steps)].sort((a, b) => a - b);
}

/** The record of the steps taken; tensors that are the trajectory's own. */
export function trajectoryOf(
  options: TrajectoryOptions,
  all: readonly Taken[],
  final: tf.Tensor,
): Trajectory {
  const steps = recordedSteps(options);
  const taken = steps.map((step) => all.find((each) => each.step === step)!);
  return {
    final,
    steps,
    timesteps: steps.map((step) => timeOf(options.schedule, step)),
    latents: taken.map(({ x }) => x),
    nextLatents: taken.map(({ next }) => next),
    means: taken.map(({ mean }) => mean),
    logProbs: taken.map(({ logProb }) => logProb),
    coefficients: taken.map(({ coefficients }) => coefficients),
  };
}

function timeOf(schedule: Schedule, step: number): number {
  if (step >= stepsOf(schedule)) throw new RangeError(`there is no step ${step}`);
  return schedule.times[step]!;
}
