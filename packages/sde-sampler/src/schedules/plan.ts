import { toDataTime } from '../conventions';
import { type Density, type RuleName, ruleOf, type StepRule } from '../rules';
import { hostCoefficients, type StepCoefficients } from '../steps/coefficients';
import { type Schedule, stepsOf } from './schedule';

/** Which steps of a schedule draw noise, and how. */
export interface PlanOptions {
  /** Default 'sde'. */
  rule?: RuleName | StepRule;
  /** One for all steps, or one per step. Default 0.7, Flow-GRPO's. */
  noiseLevel?: number | readonly number[];
  /**
   * The first and the last step of a rule whose noise is infinite at the start, the SDE. 'ode' (default): both without
   * noise, so the singularity is never met and no noise is left in the sample. 'floor': both with noise, the schedule's
   * second point in the denominator of σ at pure noise, as flow_grpo does. Other rules have no such ends and ignore it.
   */
  ends?: 'ode' | 'floor';
  /** Only these steps draw noise, as `windowSteps` gives them; default all that can. */
  stochasticSteps?: readonly number[];
  density?: Density;
}

/**
 * All steps of a trajectory: the coefficients of each as host doubles, computed once. A step without noise is the Euler
 * step of the ODE. `stackSteps` makes tensors of them.
 * @throws RangeError where a step, or noise in it, does not exist
 */
export function planSteps(schedule: Schedule, options: PlanOptions = {}): StepCoefficients<number>[] {
  const { times, convention } = schedule;
  const { rule = 'sde', noiseLevel = 0.7, ends = 'ode', stochasticSteps, density } = options;
  const steps = stepsOf(schedule);
  checkIndices(stochasticSteps ?? [], steps, 'stochasticSteps');
  if (typeof noiseLevel !== 'number' && noiseLevel.length !== steps) {
    throw new RangeError(`${noiseLevel.length} noise levels for ${steps} steps`);
  }
  if (ends !== 'ode' && ends !== 'floor')
    throw new Error(`ends must be 'ode' or 'floor', not ${String(ends)}`);
  const { singularAtNoise } = ruleOf(rule);
  const isSilentEnd = (i: number) => singularAtNoise && ends === 'ode' && (i === 0 || i === steps - 1);
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
  const { singularAtNoise } = ruleOf(options.rule ?? 'sde');
  const last = stepsOf(schedule) - 1;
  return planSteps(schedule, options).flatMap(({ std }, i) => {
    const end = singularAtNoise && (i === 0 || i === last);
    return std > 0 && !end ? [i] : [];
  });
}

/** Throws unless every index names a step. */
export function checkIndices(indices: readonly number[], steps: number, what: string): void {
  for (const i of indices) {
    if (!Number.isInteger(i) || i < 0 || i >= steps) {
      throw new RangeError(`${what}: there is no step ${i}, the schedule has steps 0 to ${steps - 1}`);
    }
  }
}
