/** The arithmetic of an epoch: sizes, steps and passes, from a configuration and its algorithm. */
import {
  planSteps,
  type StepCoefficients,
  shiftedSchedule,
  windowRange,
  windowSteps,
} from '@flow-grpo/sde-sampler';
import type { AnyAlgorithm, ConfiguredAlgorithm } from '../algorithms/algorithm';
import { configureAlgorithm } from '../config/resolve';
import type { GrpoConfig } from '../config/schema';

export interface EpochPlan {
  /** The algorithm with its options. */
  readonly algorithm: ConfiguredAlgorithm;
  /** Samples per epoch. */
  readonly epochSize: number;
  /** Samples per rollout call, and how many calls. */
  readonly batchSize: number;
  readonly batches: number;
  /** How many images in a row have one prompt in every rollout call: the group, or a part of it. */
  readonly groupInBatch: number;
  /** The stochastic steps of an epoch, consecutive, as many in each; none where rollouts are ODEs. */
  window(epoch: number): number[];
  /** The range [start, end) of the stochastic steps. */
  readonly range: { readonly start: number; readonly end: number };
  /** All steps of a rollout whose stochastic steps are `window`. */
  steps(window: readonly number[]): StepCoefficients<number>[];
  /** Samples per gradient pass. */
  readonly rowsPerPass: number;
  /** Points of each of these that a gradient pass takes at once. */
  readonly stepsPerPass: number;
  /**
   * Whether images train on the devices that drew them, as far as devices have as many: records of steps, with features, are
   * much to send, and latents are not.
   */
  readonly trainsInPlace: boolean;
  /** Optimizer steps of the whole run, for decaying schedules. */
  readonly totalUpdates: number;
}

/**
 * What will run. The configuration must be a resolved one.
 *
 * @param chosen your own algorithm; by default the one that the configuration names
 */
export function epochPlan(config: GrpoConfig, chosen?: AnyAlgorithm): EpochPlan {
  const { sampling, training } = config;
  const epochSize = sampling.promptsPerEpoch * sampling.samplesPerPrompt;
  const batchSize = sampling.batchSize ?? epochSize;
  const schedule = shiftedSchedule(sampling.numSteps, sampling.shift);
  const { rule, noiseLevel, numSteps } = sampling;
  const algorithm = configureAlgorithm(config, chosen);
  const { units } = algorithm;
  const share = config.devices * units.size;
  const perUpdate = units.size * Math.ceil(units.perEpoch / training.updatesPerEpoch);
  return {
    algorithm,
    epochSize,
    batchSize,
    batches: epochSize / batchSize,
    groupInBatch: greatestCommonDivisor(batchSize, sampling.samplesPerPrompt),
    window: (epoch) =>
      algorithm.rollout.sampler === 'ode'
        ? []
        : windowSteps(sampling.window, numSteps, { iteration: epoch, seed: config.seed }),
    range: windowRange(sampling.window, numSteps),
    steps: (stochasticSteps) => planSteps(schedule, { rule, noiseLevel, stochasticSteps, ends: 'floor' }),
    // Rounded up to what the devices can share; the rest is padding without weight.
    rowsPerPass: Math.ceil(Math.min(training.batchSize ?? perUpdate, perUpdate) / share) * share,
    stepsPerPass: training.stepsPerPass ?? algorithm.pointsPerImage,
    trainsInPlace: algorithm.rollout.keep !== 'latents' && units.size === 1,
    totalUpdates: config.epochs * training.updatesPerEpoch * training.innerEpochs,
  };
}

const greatestCommonDivisor = (a: number, b: number): number =>
  b === 0 ? a : greatestCommonDivisor(b, a % b);
