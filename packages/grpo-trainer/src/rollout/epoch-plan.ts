/** The arithmetic of an epoch: sizes, steps, window and kind of advantage, from a configuration. */
import { type StepCoefficients, shiftedSchedule, windowSteps } from '@flow-grpo/sde-sampler';
import { trainedSteps } from '../config/resolve';
import type { GrpoConfig } from '../config/schema';
import type { AdvantageKind } from '../maths/advantages';
import { planSteps } from './steps';

export interface EpochPlan {
  /** Samples an epoch. */
  readonly epochSize: number;
  /** Samples a rollout call, and how many calls. */
  readonly batchSize: number;
  readonly batches: number;
  /** The stochastic steps of an epoch, consecutive; as many in each, so compiled functions serve all epochs. */
  window(epoch: number): number[];
  /** All steps of a rollout whose stochastic steps are `window`. */
  steps(window: readonly number[]): StepCoefficients<number>[];
  /** How many of the window's steps train. */
  readonly trainedSteps: number;
  /** Samples a gradient pass. */
  readonly rowsPerPass: number;
  /** Trained steps of these that a gradient pass takes at once. */
  readonly stepsPerPass: number;
  readonly advantageKind: AdvantageKind;
  /** Whether the objective looks at the untrained weights, which are then kept. */
  readonly needsReference: boolean;
  /** Optimizer steps of the whole run, for decaying schedules. */
  readonly totalUpdates: number;
}

/** What will run. The configuration must be a resolved one. */
export function epochPlan(config: GrpoConfig): EpochPlan {
  const { sampling, training } = config;
  const epochSize = sampling.promptsPerEpoch * sampling.samplesPerPrompt;
  const batchSize = sampling.batchSize ?? epochSize;
  const { times } = shiftedSchedule(sampling.numSteps, sampling.shift);
  const window = (epoch: number) =>
    windowSteps(sampling.window, sampling.numSteps, { iteration: epoch, seed: config.seed });
  const trained = trainedSteps(config);
  const isPolicyGradient = training.objective === 'grpo' || training.objective === 'guard';
  const share = config.devices * (training.objective === 'dpo' ? 2 : 1);
  const perUpdate =
    training.objective === 'dpo'
      ? 2 * Math.ceil(sampling.promptsPerEpoch / training.updatesPerEpoch)
      : Math.ceil(epochSize / training.updatesPerEpoch);
  return {
    epochSize,
    batchSize,
    batches: epochSize / batchSize,
    window,
    steps: (stochastic) => planSteps(times, sampling.rule, sampling.noiseLevel, stochastic),
    trainedSteps: trained,
    // Rounded up to what the devices can share; the rest is padding without weight.
    rowsPerPass: Math.ceil(Math.min(training.batchSize ?? perUpdate, perUpdate) / share) * share,
    stepsPerPass: training.stepsPerPass ?? trained,
    needsReference: training.beta > 0 || training.objective === 'dpo',
    advantageKind: isPolicyGradient ? 'grpo' : (training.objective as AdvantageKind),
    totalUpdates: config.epochs * training.updatesPerEpoch * training.innerEpochs,
  };
}
