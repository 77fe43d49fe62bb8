import * as tf from '@tensorflow/tfjs-core';
import { eventOf, prepare, type SampleOptions, type Taken, takeStep, timesFor } from './engine';
import {
  type RecordedStep,
  recordedSteps,
  type Trajectory,
  type TrajectoryOptions,
  trajectoryOf,
} from './trajectory';
import { asVelocity, type StepVelocity } from './velocity';

/**
 * Samples with a synchronous model. With `noiseLevel: 0` or rule 'ode' it solves the ODE. Nothing is read
 * back: inside a jit the whole loop is one executable.
 * @returns the latents [B, ...] at the schedule's last time
 */
export const sample = (velocity: StepVelocity, options: SampleOptions): tf.Tensor =>
  tf.tidy(() => run(velocity, options, []).final);

/** `sample`, with the latents, log-probabilities and times of chosen steps. */
export const sampleTrajectory = (velocity: StepVelocity, options: TrajectoryOptions): Trajectory =>
  tf.tidy(() => {
    const { taken, final } = run(velocity, options, recordedSteps(options));
    return trajectoryOf(options.schedule, taken, final);
  });

function run(velocity: StepVelocity, options: SampleOptions, recorded: readonly number[]) {
  const prepared = prepare(options, recorded);
  const taken: RecordedStep[] = [];
  let { x } = prepared;
  for (let step = 0; step < prepared.steps; step++) {
    // What a step made goes at once: on an eager backend a long run would hold it all.
    const rest = tf.tidy(() => {
      const { velocity: v, ...record } = answerAll(takeStep(prepared, step, x), velocity);
      options.onStep?.(eventOf(options, { ...record, velocity: v }));
      return record;
    });
    if (prepared.recorded.has(step)) taken.push(rest);
    else rest.mean.dispose();
    x = rest.next;
  }
  return { taken, final: x };
}

/** Answers a step's requests until it is taken. */
function answerAll(turn: ReturnType<typeof takeStep>, velocity: StepVelocity): Taken {
  let state = turn.next();
  while (!state.done) {
    const { x, info } = state.value;
    state = turn.next(tf.tidy(() => asVelocity(velocity(x, timesFor(x, info.time), info), x)));
  }
  return state.value;
}
