import { threefry2x32 } from '../random/threefry';
import { type RuleName, ruleOf, type StepRule } from '../rules';

/** The consecutive steps of a trajectory that draw noise, which may change from one training iteration to the next. */
export interface StepWindow {
  /**
   * 'fixed' (default): the same steps in every iteration; 'random': `size` steps at a random place (Flow-GRPO-Fast);
   * 'sliding': `size` steps that move from noise towards data as training goes on (MixGRPO, arXiv 2507.21802).
   */
  kind?: 'fixed' | 'random' | 'sliding';
  /** First step the window may cover. Default 1. */
  start?: number;
  /** The step after the last one it may cover. Default all but the last step: steps − 1. */
  end?: number | undefined;
  /** Steps at a time, for 'random' and 'sliding'; a fixed window is the whole range. */
  size?: number | undefined;
  /** Iterations at each place of a sliding window; MixGRPO calls it the shift interval. Default 1. */
  interval?: number;
  /** Steps a sliding window moves by. Default 1. */
  stride?: number;
  /** What a sliding window does at the end: 'restart' (default) at the first step, or 'stay'. */
  atEnd?: 'restart' | 'stay';
}

/** The steps [start, end) that a window may cover, and how many it has at a time (0 where it does not say). */
export function windowRange(window: StepWindow, steps: number): { start: number; end: number; size: number } {
  const { kind = 'fixed', start = 1 } = window;
  const end = window.end ?? Math.max(start + 1, steps - 1);
  return { start, end, size: kind === 'fixed' ? end - start : (window.size ?? 0) };
}

/** What a plan is checked against. */
export interface PlanCheck {
  /** Steps of the schedule. */
  steps: number;
  /** Default 'sde'. */
  rule?: RuleName | StepRule;
  /** Default 0.7. */
  noiseLevel?: number;
}

/**
 * What a window, a rule and a number of steps contradict each other in: one line each, which starts with the option's name
 * (`window.start is 0, …`), so that a caller can say where the option stands.
 */
export function windowProblems(window: StepWindow, check: PlanCheck): string[] {
  const { rule: named = 'sde', noiseLevel = 0.7 } = check;
  const { name, density, maxNoiseLevel = Number.POSITIVE_INFINITY, ...rule } = ruleOf(named);
  const { start, end } = windowRange(window, check.steps);
  const problems = rangeProblems(window, check.steps);
  if (rule.singularAtNoise && noiseLevel > 0 && start === 0) {
    problems.push(`window.start is 0, where the noise of an ${name} step is infinite; use 1, or rule cps`);
  }
  if (rule.silentAtData && end === check.steps) {
    problems.push(`window.end: the last ${name} step has no noise; leave it out of the window`);
  }
  if (density === null) problems.push(`rule: ${name} draws no noise in any step; use sde or cps`);
  if (noiseLevel > maxNoiseLevel) problems.push(`noiseLevel must be at most ${maxNoiseLevel} with ${name}`);
  return problems;
}

/**
 * The stochastic steps of an iteration, for `stochasticSteps`: as many in every one, so that compiled functions serve all.
 * @param steps of the schedule
 * @param at the training iteration, and the seed of random windows: the same two give the same steps
 * @throws RangeError where the window does not lie in the schedule
 */
export function windowSteps(
  window: StepWindow,
  steps: number,
  { iteration = 0, seed = 0 }: { iteration?: number; seed?: number } = {},
): number[] {
  const [problem] = rangeProblems(window, steps);
  if (problem) throw new RangeError(problem);
  const { start, end, size } = windowRange(window, steps);
  const room = end - start - size;
  const first = start + offset(window, room, iteration, seed);
  return Array.from({ length: size }, (_, i) => first + i);
}

/** Where in its range a window of an iteration starts, 0 … room. */
function offset(
  { kind = 'fixed', interval = 1, stride = 1, atEnd = 'restart' }: StepWindow,
  room: number,
  iteration: number,
  seed: number,
): number {
  if (kind === 'fixed') return 0;
  if (kind === 'random') {
    const [word] = threefry2x32(seed, iteration, 0, 0);
    return Math.floor((word / 2 ** 32) * (room + 1));
  }
  const places = Math.ceil(room / stride) + 1;
  const moves = Math.floor(iteration / interval);
  const place = atEnd === 'stay' ? Math.min(moves, places - 1) : moves % places;
  return Math.min(place * stride, room);
}

/** What keeps a window from lying in a schedule, whatever the rule. */
function rangeProblems(window: StepWindow, steps: number): string[] {
  const { kind = 'fixed', interval = 1, stride = 1 } = window;
  const { start, end, size } = windowRange(window, steps);
  const problems: string[] = [];
  const check = (ok: boolean, problem: string) => {
    if (!ok) problems.push(problem);
  };
  check(
    Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start < end && end <= steps,
    `window: steps ${start} … ${end - 1} do not lie in 0 … ${steps - 1}, the steps of the schedule`,
  );
  if (kind === 'fixed') {
    check(
      window.size === undefined || window.size === size,
      'window.size says something else than start and end; leave it out with kind fixed',
    );
    return problems;
  }
  if (window.size === undefined) return [...problems, `window.size is needed with kind ${kind}`];
  check(Number.isInteger(size) && size >= 1, `window.size must be 1 or more, not ${size}`);
  check(size <= end - start, `window.size (${size}) is larger than the range ${start} … ${end - 1}`);
  check(interval >= 1 && stride >= 1, 'window.interval and window.stride must be 1 or more');
  return problems;
}
