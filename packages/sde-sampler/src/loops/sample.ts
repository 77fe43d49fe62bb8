import * as tf from '@tensorflow/tfjs-core';
import { eventOf, prepare, type SampleOptions, type Taken, takeStep, timesFor } from './engine';
import { type Trajectory, type TrajectoryOptions, trajectoryOf } from './trajectory';
import { asVelocity, type Velocity } from './velocity';

/**
 * Samples by a model that answers at once. With `noiseLevel: 0` or rule 'ode' it solves the ODE. Nothing is read
 * back: inside a jit the whole loop is one executable.
 * @returns the latents [B, ...] at the schedule's last time
 */
export const sample = (velocity: Velocity, options: SampleOptions): tf.Tensor =>
  tf.tidy(() => run(velocity, options, undefined, () => {}));

/** `sample`, with the latents, log-probabilities and times of chosen steps. */
export const sampleTrajectory = (velocity: Velocity, options: TrajectoryOptions): Trajectory =>
  tf.tidy(() => {
    const taken: Taken[] = [];
    const final = run(velocity, options, options.steps, (step) => taken.push(step));
    return trajectoryOf(options, taken, final) as Trajectory & tf.TensorContainerObject;
  });

function run(
  velocity: Velocity,
  options: SampleOptions,
  chosen: readonly number[] | undefined,
  keep: (taken: Taken) => void,
): tf.Tensor {
  const prepared = prepare(options, chosen);
  let { x } = prepared;
  for (let step = 0; step < prepared.steps; step++) {
    const turn = takeStep(prepared, options.schedule, step, x);
    let state = turn.next();
    while (!state.done) {
      const { x: at, info } = state.value;
      // The model's intermediate tensors go at once; on an eager backend they are most of the memory.
      const answer = tf.tidy(() => asVelocity(velocity(at, timesFor(at, info.time), info), at));
      state = turn.next(answer);
    }
    const taken = state.value;
    options.onStep?.(eventOf(options, taken));
    keep(taken);
    x = taken.next;
  }
  return x;
}
