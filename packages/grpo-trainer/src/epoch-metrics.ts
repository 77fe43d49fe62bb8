/** The numbers of an epoch. */
import type { Advantages } from './maths/advantages';
import type { EpochBatch } from './rollout/collect';
import type { UpdateResult } from './update/update';

/** What an epoch did: plain numbers, one line of metrics.jsonl. */
export interface EpochMetrics {
  readonly epoch: number;
  readonly updates: number;
  readonly samples: number;
  readonly reward: number;
  readonly [name: string]: number;
}

/** What an epoch's numbers were made of, sample by sample, for histograms. */
export interface EpochDetails {
  /** NaN for images that the scorer dropped. */
  readonly rewards: readonly number[];
  /** What the policy gradient was weighted by, before clipping. */
  readonly advantages: Float64Array;
}

/** What the numbers are made of. */
export interface EpochWork<C> {
  readonly epoch: number;
  /** First stochastic step. */
  readonly windowStart: number;
  readonly batch: EpochBatch<C>;
  readonly judged: Advantages;
  readonly result: UpdateResult;
  /** Optimizer steps before. */
  readonly updatesBefore: number;
  readonly seconds: number;
  readonly secondsUpdate: number;
  /** How busy the devices were, where that is known. */
  readonly utilisation: { readonly tflops?: number; readonly mfu?: number };
}

/** Mean and standard deviation over the images that were not dropped. */
export function rewardStatistics(rewards: readonly number[]): { reward: number; rewardStd: number } {
  const reward = finiteMean(rewards);
  return { reward, rewardStd: Math.sqrt(finiteMean(rewards.map((value) => (value - reward) ** 2))) };
}

export function epochMetrics<C>(work: EpochWork<C>): EpochMetrics {
  const { epoch, batch, judged, result, seconds } = work;
  const count = batch.rewards.length;
  return {
    epoch,
    updates: work.updatesBefore + result.updates,
    samples: (epoch + 1) * count,
    ...rewardStatistics(batch.rewards),
    groupRewardStd: judged.rewardStd,
    zeroVarianceShare: judged.zeroVarianceGroups / judged.groups,
    advantageMean: finiteMean(Array.from(judged.advantages, Math.abs)),
    dropped: batch.rewards.filter(Number.isNaN).length,
    learningRate: result.learningRate,
    windowStart: work.windowStart,
    ...Object.fromEntries(
      Object.entries(batch.details).map(([name, values]) => [`reward.${name}`, finiteMean(values)]),
    ),
    ...result.metrics,
    ...batch.seconds,
    secondsUpdate: work.secondsUpdate,
    seconds,
    samplesPerSecond: count / seconds,
    ...work.utilisation,
  };
}

/** The mean of the finite values; NaN when there is none. */
export function finiteMean(values: readonly number[]): number {
  const finite = values.filter(Number.isFinite);
  return finite.reduce((sum, value) => sum + value, 0) / finite.length;
}
