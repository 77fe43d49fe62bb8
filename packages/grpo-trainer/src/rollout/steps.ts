/** A rollout's steps as tensors: host doubles from the sampler, stacked so that one executable serves all of them. */
import {
  coefficientNames,
  coefficientsOf,
  type RuleName,
  type StepCoefficients,
} from '@flow-grpo/sde-sampler';
import * as tf from '@tensorflow/tfjs-core';

/** One float32 tensor a coefficient, all of one shape. */
export type StepTensors = StepCoefficients<tf.Tensor>;

/** The steps of a grid: `rule` with `noiseLevel` at the places in `stochastic`, Euler's elsewhere. */
export function planSteps(
  grid: readonly number[],
  rule: RuleName,
  noiseLevel: number,
  stochastic: readonly number[],
): StepCoefficients<number>[] {
  const isStochastic = new Set(stochastic);
  return grid
    .slice(1)
    .map((tNext, i) => hostStep(rule, grid[i]!, tNext, isStochastic.has(i) ? noiseLevel : 0));
}

/** One step as host doubles: numbers in, numbers out. */
export function hostStep(
  rule: RuleName,
  t: number,
  tNext: number,
  noiseLevel: number,
): StepCoefficients<number> {
  return coefficientsOf({ rule, t, tNext, noiseLevel }) as StepCoefficients<number>;
}

/** [steps.length] each. */
export function stackSteps(steps: readonly StepCoefficients<number>[]): StepTensors {
  return mapCoefficients((name) => tf.tensor1d(steps.map((step) => step[name])));
}

/** Coefficients of some of the steps, by int32 `indices`. */
export function gatherSteps(steps: StepTensors, indices: tf.Tensor1D): StepTensors {
  return mapCoefficients((name) => tf.gather(steps[name], indices));
}

/** σ_t = std / √dt, what flow_grpo calls std_dev_t. */
export function sigmaOf(step: StepTensors): tf.Tensor {
  return tf.div(step.std, tf.sqrt(step.dt));
}

function mapCoefficients(f: (name: (typeof coefficientNames)[number]) => tf.Tensor): StepTensors {
  return Object.fromEntries(coefficientNames.map((name) => [name, f(name)])) as unknown as StepTensors;
}
