import * as tf from '@tensorflow/tfjs-core';
import { eventOf, prepare, type SampleOptions, type Taken, takeStep, timesFor } from './engine';
import { recordedSteps, type Trajectory, type TrajectoryOptions, trajectoryOf } from './trajectory';
import { type AsyncVelocity, asVelocity } from './velocity';

/**
 * `sample` for a model that answers later or answers in plain values: ONNX, a worker, a server. Callbacks that
 * return a promise are awaited. A tensor the velocity returns is disposed of after the step.
 */
export const sampleAsync = (velocity: AsyncVelocity, options: SampleOptions): Promise<tf.Tensor> =>
  run(velocity, options, undefined);

/** `sampleTrajectory` for such a model. */
export async function sampleTrajectoryAsync(
  velocity: AsyncVelocity,
  options: TrajectoryOptions,
): Promise<Trajectory> {
  const taken: Taken[] = [];
  const final = await run(velocity, options, taken);
  return trajectoryOf(options, taken, final);
}

/** Tensors die by hand here: a tidy cannot span an await. Those of recorded steps live on in `record`. */
async function run(
  velocity: AsyncVelocity,
  options: TrajectoryOptions,
  record: Taken[] | undefined,
): Promise<tf.Tensor> {
  const prepared = prepare(options, record && options.steps);
  const recorded = new Set(record ? recordedSteps(options) : []);
  const kept = new Set<tf.Tensor>();
  let { x } = prepared;
  for (let step = 0; step < prepared.steps; step++) {
    const turn = takeStep(prepared, options.schedule, step, x);
    const garbage = new Set<tf.Tensor>();
    let taken: Taken | undefined;
    let answer: tf.Tensor | undefined;
    while (!taken) {
      const { made, state } = scoped(() => (answer ? turn.next(answer) : turn.next()));
      for (const tensor of made) garbage.add(tensor);
      if (state.done) {
        taken = state.value;
      } else {
        const { x: at, info } = state.value;
        const t = timesFor(at, info.time);
        garbage.add(t);
        answer = asVelocity(await velocity(at, t, info), at);
        garbage.add(answer);
      }
    }
    await options.onStep?.(eventOf(options, taken));
    if (record && recorded.has(step)) {
      record.push(taken);
      for (const tensor of [taken.x, taken.next, taken.mean, taken.logProb]) if (tensor) kept.add(tensor);
    }
    garbage.add(x);
    for (const tensor of garbage) if (!kept.has(tensor) && tensor !== taken.next) tensor.dispose();
    x = taken.next;
  }
  return x;
}

/** Runs a synchronous part of the loop and lists the tensors alive after it that it made. */
function scoped<T>(part: () => T): { made: tf.Tensor[]; state: T } {
  const made: tf.Tensor[] = [];
  const engine = tf.engine();
  engine.startScope('sde-sampler');
  let state: T;
  try {
    state = part();
    // A scope disposes of what it tracks; handing the tensors over keeps them for the next part.
    made.push(...(engine.state.activeScope.track as tf.Tensor[]));
    engine.endScope(made);
  } catch (error) {
    engine.endScope();
    throw error;
  }
  return { made: made.filter((tensor) => !tensor.isDisposed), state };
}
