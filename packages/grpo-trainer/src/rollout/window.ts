/** The stochastic steps of a rollout: where they may lie, and where they lie in an epoch. */
import { fixedWindow, randomWindow, slidingWindow } from '@flow-grpo/sde-sampler';
import type { BaseConfig } from '../config/base';

/** The range of the stochastic steps, `end` excluded, and how many of them an epoch has. */
export function windowBounds({ sampling }: Pick<BaseConfig, 'sampling'>): {
  start: number;
  end: number;
  size: number;
} {
  const { numSteps, window } = sampling;
  const end = window.end ?? Math.max(window.start + 1, numSteps - 1);
  return {
    start: window.start,
    end,
    size: window.kind === 'fixed' ? end - window.start : (window.size ?? 0),
  };
}

/** The stochastic steps of an epoch, consecutive; as many in each, so that compiled functions serve all epochs. */
export function windowOf(config: Pick<BaseConfig, 'sampling' | 'seed'>, epoch: number): number[] {
  const { kind, interval, stride } = config.sampling.window;
  const { start, end, size } = windowBounds(config);
  const range = [start, end - 1] as const;
  if (kind === 'fixed') return fixedWindow(start, size);
  if (kind === 'random') return randomWindow({ size, range, seed: config.seed, index: epoch });
  return slidingWindow({ size, range, every: interval, stride }, epoch);
}

/** What is wrong with the stochastic steps of a configuration, one line each. */
export function windowProblems(sampling: BaseConfig['sampling']): string[] {
  const { window, rule, noiseLevel, numSteps } = sampling;
  const { start, end, size } = windowBounds({ sampling });
  const problems: string[] = [];
  const check = (ok: boolean, problem: string) => {
    if (!ok) problems.push(problem);
  };
  check(
    end <= numSteps && start < end,
    `sampling.window: steps ${start} … ${end - 1} do not lie in 0 … ${numSteps - 1} (sampling.numSteps)`,
  );
  check(
    !(rule === 'sde' && noiseLevel > 0 && start === 0),
    'sampling.window.start is 0, where the noise of an SDE step is infinite; use 1, or rule cps',
  );
  check(
    window.kind === 'fixed' || window.size !== undefined,
    `sampling.window.size is needed with kind ${window.kind}`,
  );
  check(
    window.kind === 'fixed' || size <= end - start,
    `sampling.window.size (${size}) is larger than the range ${start} … ${end - 1}`,
  );
  check(
    window.kind !== 'fixed' || window.size === undefined || window.size === end - start,
    'sampling.window.size says something else than start and end; leave it out with kind fixed',
  );
  check(
    !(rule === 'cps' && end === numSteps),
    'sampling.window.end: the last CPS step has no noise; leave it out of the window',
  );
  check(!(rule === 'cps' && noiseLevel > 1), 'sampling.noiseLevel must be at most 1 with rule cps');
  return problems;
}
