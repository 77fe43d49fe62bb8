/** A rollout's steps, as the sampler plans them. */
import {
  customSchedule,
  planSteps as plan,
  type RuleName,
  type StepCoefficients,
} from '@flow-grpo/sde-sampler';

export { gatherSteps, type StepTensors, stackSteps, stepSigma as sigmaOf } from '@flow-grpo/sde-sampler';

/** The steps of a grid: `rule` with `noiseLevel` at the places in `stochastic`, Euler's elsewhere. */
export function planSteps(
  grid: readonly number[],
  rule: RuleName,
  noiseLevel: number,
  stochastic: readonly number[],
): StepCoefficients<number>[] {
  return plan(customSchedule(grid), { rule, noiseLevel, stochasticSteps: stochastic, ends: 'floor' });
}

/** One step as host doubles: numbers in, numbers out. */
export function hostStep(
  rule: RuleName,
  t: number,
  tNext: number,
  noiseLevel: number,
): StepCoefficients<number> {
  return planSteps([t, tNext], rule, noiseLevel, [0])[0]!;
}
