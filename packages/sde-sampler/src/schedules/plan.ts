import * as tf from '@tensorflow/tfjs-core';
import { toDataTime } from '../conventions';
import type { RuleName, StepRule } from '../rules';
import {
  coefficientNames,
  type Density,
  hostCoefficients,
  type StepCoefficients,
} from '../steps/coefficients';
import { type Schedule, stepsOf } from './schedule';

/** Which steps of a schedule draw noise, and how. */
export interface PlanOptions {
  /** Default 'sde'. */
  rule?: RuleName | StepRule;
  /** One for all steps, or one a step. Default 0.7, Flow-GRPO's. */
  noiseLevel?: number | readonly number[];
  /**
   * The first and the last step of the SDE. 'ode' (default): both without noise, so σ's singularity at noise is
   * never met and no noise is left in the sample. 'floor': both with noise, the schedule's second point in the
   * denominator of σ at pure noise, as flow_grpo does. Other rules have no such ends and ignore it.
   */
  ends?: 'ode' | 'floor';
  /** Only these steps draw noise (a window); default all that can. */
  stochasticSteps?: readonly number[];
  density?: Density;
}

/**
 * The coefficients of every step of a schedule as host doubles, computed once. A step without noise is the
 * Euler step of the ODE.
 * @throws RangeError where a step, or noise in it, does not exist
 */
export function stepCoefficients(schedule: Schedule, options: PlanOptions = {}): StepCoefficients<number>[] {
  const { times, convention } = schedule;
  const { rule = 'sde', noiseLevel = 0.7, ends = 'ode', stochasticSteps, density } = options;
  const steps = stepsOf(schedule);
  checkIndices(stochasticSteps ?? [], steps, 'stochasticSteps');
  if (typeof noiseLevel !== 'number' && noiseLevel.length !== steps) {
    throw new RangeError(`${noiseLevel.length} noise levels for ${steps} steps`);
  }
  if (ends !== 'ode' && ends !== 'floor')
    throw new Error(`ends must be 'ode' or 'floor', not ${String(ends)}`);
  const isSilentEnd = (i: number) => rule === 'sde' && ends === 'ode' && (i === 0 || i === steps - 1);
  const impossible = stochasticSteps?.find(isSilentEnd);
  if (impossible !== undefined) {
    throw new RangeError(
      `stochasticSteps: step ${impossible} is an end of the schedule, which \`ends: 'ode'\` takes without noise: ` +
        "leave it out, or give `ends: 'floor'`",
    );
  }
  return Array.from({ length: steps }, (_, i) => {
    const silent = isSilentEnd(i) || (stochasticSteps !== undefined && !stochasticSteps.includes(i));
    const level = typeof noiseLevel === 'number' ? noiseLevel : noiseLevel[i]!;
    const pureNoise = toDataTime(times[i]!, convention) === 0;
    const spec = { rule, convention, density, sigmaFloor: pureNoise ? times[i + 1] : undefined };
    return hostCoefficients(silent ? { ...spec, rule: 'ode' } : spec, times[i]!, times[i + 1]!, level);
  });
}

/**
 * The steps a policy gradient can train on, in order: those that draw noise with the density the rule states.
 * Of the SDE the first and the last never count (12 steps leave 10, as in the Flow-GRPO recipe): σ is infinite
 * or replaced at pure noise, and the last hardly draws anything. Of CPS the last is without noise.
 */
export function trainableSteps(schedule: Schedule, options: PlanOptions = {}): number[] {
  const { rule = 'sde' } = options;
  const last = stepsOf(schedule) - 1;
  return stepCoefficients(schedule, options).flatMap(({ std }, i) => {
    const end = rule === 'sde' && (i === 0 || i === last);
    return std > 0 && !end ? [i] : [];
  });
}

/**
 * The coefficients as one float32 tensor [steps, 7], columns as `coefficientNames`: the `xs` of a scan, so that
 * one traced step serves the whole schedule.
 */
export const coefficientTable = (rows: readonly StepCoefficients<number>[]): tf.Tensor2D =>
  tf.tensor2d(rows.map((row) => coefficientNames.map((name) => row[name])));

/** The scalar coefficients in one row [7] of `coefficientTable`, for `applyStep` and `logProbOfStep`. */
export function coefficientsFromRow(row: tf.Tensor): StepCoefficients<tf.Tensor> {
  if (row.rank !== 1 || row.shape[0] !== coefficientNames.length) {
    throw new Error(`a row of coefficients has shape [${coefficientNames.length}], not [${row.shape}]`);
  }
  const [t, xDrift, velocityDrift, std, residualScale, logConstant, dt] = tf.unstack(row) as tf.Scalar[];
  return {
    t: t!,
    xDrift: xDrift!,
    velocityDrift: velocityDrift!,
    std: std!,
    residualScale: residualScale!,
    logConstant: logConstant!,
    dt: dt!,
  };
}

/** Throws unless every index names a step. */
export function checkIndices(indices: readonly number[], steps: number, what: string): void {
  for (const i of indices) {
    if (!Number.isInteger(i) || i < 0 || i >= steps) {
      throw new RangeError(`${what}: there is no step ${i}, the schedule has steps 0 to ${steps - 1}`);
    }
  }
}
