/** The arithmetic of an epoch: sizes, steps, window and kind of advantage, from a configuration. */
import { windowBounds } from '../config/resolve';
import type { GrpoConfig } from '../config/schema';
import type { AdvantageKind } from '../maths/advantages';
import { planSteps, type Step, timeGrid } from './step-rules';
import { fixedWindow, randomWindow, slidingWindow, type Window, type WindowStrategy } from './windows';

export interface EpochPlan {
  /** Samples an epoch. */
  readonly epochSize: number;
  /** Samples a rollout call, and how many calls. */
  readonly batchSize: number;
  readonly batches: number;
  readonly window: WindowStrategy;
  /** All steps of a rollout whose stochastic steps are `window`. */
  steps(window: Window): Step[];
  /** How many of the window's steps train. */
  readonly trainedSteps: number;
  /** Samples a gradient pass. */
  readonly rowsPerPass: number;
  readonly advantageKind: AdvantageKind;
  /** Optimizer steps of the whole run, for decaying schedules. */
  readonly totalUpdates: number;
}

/** What will run. The configuration must be a resolved one. */
export function epochPlan(config: GrpoConfig): EpochPlan {
  const { sampling, training } = config;
  const epochSize = sampling.promptsPerEpoch * sampling.samplesPerPrompt;
  const batchSize = sampling.batchSize ?? epochSize;
  const bounds = windowBounds(config);
  const grid = timeGrid(sampling.numSteps, sampling.shift);
  const { kind, interval, stride } = sampling.window;
  const window =
    kind === 'fixed'
      ? fixedWindow(bounds.start, bounds.end)
      : kind === 'random'
        ? randomWindow(bounds.size, bounds.start, bounds.end)
        : slidingWindow(bounds.size, bounds.start, bounds.end, interval, stride);
  const isPolicyGradient = training.objective === 'grpo' || training.objective === 'guard';
  const perUpdate =
    training.objective === 'dpo'
      ? 2 * Math.ceil(sampling.promptsPerEpoch / training.updatesPerEpoch)
      : Math.ceil(epochSize / training.updatesPerEpoch);
  return {
    epochSize,
    batchSize,
    batches: epochSize / batchSize,
    window,
    steps: ({ start, end }) =>
      planSteps(grid, sampling.rule, sampling.noiseLevel, (step) => step >= start && step < end),
    trainedSteps: Math.max(1, Math.floor(window.size * training.timestepFraction)),
    rowsPerPass: Math.min(training.batchSize ?? perUpdate, perUpdate),
    advantageKind: isPolicyGradient ? 'grpo' : (training.objective as AdvantageKind),
    totalUpdates: config.epochs * training.updatesPerEpoch * training.innerEpochs,
  };
}
