import * as tf from '@tensorflow/tfjs-core';
import { convertVelocity, showo2Convention, toDataTime } from '../conventions';
import { type BatchIds, initialNoise, sampleIdsOf } from '../random/initial';
import { type NoiseSource, noiseFunction, seededNoise } from '../random/noise';
import { checkIndices, type PlanOptions, planSteps } from '../schedules/plan';
import { type Schedule, stepsOf } from '../schedules/schedule';
import { fixedSolvers, type OdeSolver } from '../solvers/fixed';
import type { StepCoefficients } from '../steps/coefficients';
import { type DrawInput, drawStep, logProbOfStep } from '../steps/step';
import type { VelocityRequest } from './velocity';

/** What a step callback is told. Tensors belong to the loop: clone (and `tf.keep`) what should outlive the call. */
export interface StepEvent {
  step: number;
  steps: number;
  /** The model's time after the step. */
  time: number;
  /** The latents after the step. */
  x: tf.Tensor;
  velocity: tf.Tensor;
  /** x's data as the model sees them at the start of the step: a preview. */
  preview: () => tf.Tensor;
}

export interface SampleOptions extends PlanOptions, BatchIds {
  schedule: Schedule;
  /** The initial latents [B, ...]; or give `shape` and `seed` (or a `noise` function). */
  x?: tf.Tensor;
  /** [B, ...] of latents to draw. */
  shape?: readonly number[];
  /** Seeds the initial latents and the steps' noise, unless given. */
  seed?: number;
  /** The steps' noise, before `seed`. */
  noise?: NoiseSource;
  /** How steps without noise are solved; default 'euler'. */
  solver?: OdeSolver;
  /**
   * After each step; a promise is awaited by the asynchronous loops only. Inside a jit it is called while tracing,
   * when tensors have no values yet.
   */
  onStep?: (event: StepEvent) => unknown;
}

/** One step that was taken. */
export type Taken = {
  step: number;
  x: tf.Tensor;
  velocity: tf.Tensor;
  mean: tf.Tensor;
  next: tf.Tensor;
  /** Undefined where the step draws nothing, or is not recorded. */
  logProb: tf.Tensor1D | undefined;
  coefficients: StepCoefficients<number>;
};

/**
 * The initial latents and the plan of the steps: everything that a loop decides before its first velocity.
 * @param recorded the steps whose log-probabilities are wanted
 */
export function prepare(options: SampleOptions, recorded: readonly number[]) {
  const { schedule, solver = 'euler' } = options;
  const steps = stepsOf(schedule);
  const rows = planSteps(schedule, options);
  if (!fixedSolvers[solver]) throw new Error(`no solver "${solver}"; for adaptive steps use solveAdaptive`);
  checkIndices(recorded, steps, 'steps');
  const source = options.noise ?? (options.seed === undefined ? undefined : seededNoise(options.seed));
  const draw = source && noiseFunction(source, steps);
  const firstNoisy = rows.findIndex((row) => row.std > 0);
  if (firstNoisy >= 0 && !draw) throw new Error(`step ${firstNoisy} draws noise: give \`noise\` or \`seed\``);
  const x = options.x ? tf.clone(options.x) : initialLatents(options, source);
  const sampleIds = sampleIdsOf(x.shape[0]!, options);
  return { schedule, steps, rows, solver, x, sampleIds, draw, recorded: new Set(recorded) };
}

function initialLatents(options: SampleOptions, source: NoiseSource | undefined): tf.Tensor {
  if (!options.shape) throw new Error('give the initial latents `x`, or their `shape` and a `seed`');
  const from = typeof source === 'function' ? source : options.seed;
  if (from === undefined)
    throw new Error('initial latents need a `seed` or a `noise` function, or give them as `x`');
  return initialNoise(from, options.shape, options);
}

type Prepared = ReturnType<typeof prepare>;

/**
 * One step as a generator that yields velocity requests and returns what it took. The same code thus serves
 * synchronous models, also inside a jit, and asynchronous ones.
 */
export function* takeStep(
  { schedule, rows, draw, sampleIds, solver, recorded }: Prepared,
  step: number,
  x: tf.Tensor,
): Generator<VelocityRequest, Taken, tf.Tensor> {
  const coefficients = rows[step]!;
  const { convention, times } = schedule;
  const [time, timeNext] = [times[step]!, times[step + 1]!];
  const ask = (at: tf.Tensor, when: number): VelocityRequest => ({
    x: at,
    info: { step, time: when, progress: toDataTime(when, convention) },
  });
  const velocity = yield ask(x, time);
  const noisy = coefficients.std > 0;
  const input: DrawInput = noisy
    ? { x, velocity, noise: draw!({ step, shape: x.shape, sampleIds }) }
    : { x, velocity: yield* fixedSolvers[solver](x, velocity, time, timeNext, ask) };
  const { mean, next } = drawStep(coefficients, input);
  const logProb =
    noisy && recorded.has(step) ? logProbOfStep(coefficients, { x, velocity, next }) : undefined;
  return { step, x, velocity, mean, next, logProb, coefficients };
}

/** The event of a step taken. */
export const eventOf = (options: SampleOptions, taken: Taken): StepEvent => {
  const { times, convention } = options.schedule;
  const { step, x, velocity, next } = taken;
  return {
    step,
    steps: times.length - 1,
    time: times[step + 1]!,
    x: next,
    velocity,
    preview: () =>
      tf.tidy(() => {
        const left = 1 - toDataTime(times[step]!, convention);
        return tf.add(x, tf.mul(convertVelocity(velocity, convention, showo2Convention), left));
      }),
  };
};

/** t [B] for a velocity call: as data, since a compiling backend would compile a new `tf.fill` for every time. */
export const timesFor = (x: tf.Tensor, time: number): tf.Tensor1D =>
  tf.tensor1d(new Float32Array(x.shape[0]!).fill(time));
