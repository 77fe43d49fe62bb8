import * as tf from '@tensorflow/tfjs-core';
import { eventOf, prepare, type SampleOptions, type Taken, takeStep, timesFor } from './engine';
import { recordedSteps, type Trajectory, type TrajectoryOptions, trajectoryOf } from './trajectory';
import { type AsyncVelocity, asVelocity, type VelocityRequest } from './velocity';

/**
 * `sample` for a model that returns a promise or plain values: ONNX, a worker, a server. Callbacks that
 * return a promise are awaited. A tensor the velocity returns is disposed of after the step; other tensors of a
 * velocity that returns a promise are its own to dispose of.
 */
export const sampleAsync = async (velocity: AsyncVelocity, options: SampleOptions): Promise<tf.Tensor> =>
  (await run(velocity, options, [])).final;

/** `sampleTrajectory` for such a model. */
export async function sampleTrajectoryAsync(
  velocity: AsyncVelocity,
  options: TrajectoryOptions,
): Promise<Trajectory> {
  const { taken, final } = await run(velocity, options, recordedSteps(options));
  return trajectoryOf(options.schedule, taken, final);
}

/** Tensors are disposed explicitly here: a tidy cannot span an await. */
async function run(velocity: AsyncVelocity, options: SampleOptions, recorded: readonly number[]) {
  const prepared = prepare(options, recorded);
  const taken: Taken[] = [];
  const kept = new Set<tf.Tensor>();
  let garbage = new Set([prepared.x]);
  const throwAway = () => {
    for (const tensor of garbage) if (!kept.has(tensor)) tensor.dispose();
  };
  let { x } = prepared;
  try {
    for (let step = 0; step < prepared.steps; step++) {
      const now = await takeStepLater(takeStep(prepared, step, x), velocity, garbage);
      await options.onStep?.(eventOf(options, now));
      if (prepared.recorded.has(step)) {
        taken.push(now);
        for (const tensor of [now.x, now.mean, now.next, now.logProb]) if (tensor) kept.add(tensor);
      }
      garbage.delete(now.next);
      throwAway();
      x = now.next;
      garbage = new Set([x]);
    }
    return { taken, final: x };
  } catch (error) {
    kept.clear();
    for (const { x: at, mean, next, logProb } of taken)
      for (const tensor of [at, mean, next, logProb]) if (tensor) garbage.add(tensor);
    throwAway();
    throw error;
  }
}

/** Answers a step's requests until it is taken; every tensor made on the way goes into `made`. */
async function takeStepLater(
  turn: ReturnType<typeof takeStep>,
  velocity: AsyncVelocity,
  made: Set<tf.Tensor>,
): Promise<Taken> {
  let state = tracked(() => turn.next(), made);
  while (!state.done) {
    const answer = await ask(velocity, state.value, made);
    state = tracked(() => turn.next(answer), made);
  }
  return state.value;
}

async function ask(velocity: AsyncVelocity, { x, info }: VelocityRequest, made: Set<tf.Tensor>) {
  const t = timesFor(x, info.time);
  made.add(t);
  const during = new Set<tf.Tensor>();
  const output = tracked(() => velocity(x, t, info), during);
  // A model that answers at once is done with what it made; one that answers later may still need it.
  if (output instanceof tf.Tensor) for (const tensor of during) if (tensor !== output) tensor.dispose();
  const answer = asVelocity(await output, x);
  made.add(answer);
  return answer;
}

/** Runs a synchronous part of the loop, and adds the tensors it made, left alive and did not keep to `made`. */
function tracked<T>(part: () => T, made: Set<tf.Tensor>): T {
  const engine = tf.engine();
  engine.startScope('sde-sampler');
  const { track } = engine.state.activeScope;
  try {
    return part();
  } finally {
    // A scope disposes of what it tracks; handing the tensors over keeps them for the next part.
    const alive = (track as tf.Tensor[]).filter(({ isDisposed, kept }) => !isDisposed && !kept);
    for (const tensor of alive) made.add(tensor);
    engine.endScope(alive);
  }
}
