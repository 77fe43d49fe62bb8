/** The numbers of an epoch. */

import type { ScoredImages } from './algorithms/algorithm';
import type { Advantages } from './maths/advantages';
import type { PhaseSeconds } from './phase-times';
import type { PromptStatistics } from './prompts/prompt-statistics';
import type { UpdateResult } from './update/create-update';
import type { ImageStatistics } from './watch/image-statistics';
import type { VelocityNumbers } from './watch/velocity-probe';

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
  /** What is known of the prompts that were seen, this epoch included. */
  readonly prompts: () => readonly PromptStatistics[];
}

/** What the numbers are made of. */
export interface EpochWork {
  readonly epoch: number;
  /** First stochastic step; undefined where rollouts have none. */
  readonly windowStart: number | undefined;
  readonly scored: ScoredImages;
  /** Prompts that images were drawn for, those left out included. */
  readonly promptsDrawn: number;
  readonly advantages: Advantages;
  readonly result: UpdateResult;
  /** Optimizer steps before. */
  readonly updatesBefore: number;
  /** Of the images, and of the velocity, where they are looked at. */
  readonly images: ImageStatistics;
  readonly velocity: Partial<VelocityNumbers>;
  readonly times: PhaseSeconds & { readonly seconds: number };
  /** How busy the devices were, where that is known. */
  readonly utilisation: { readonly tflops?: number; readonly mfu?: number };
}

/** Mean and standard deviation over the images that were not dropped. */
export function rewardStatistics(rewards: readonly number[]): { reward: number; rewardStd: number } {
  const reward = finiteMean(rewards);
  return { reward, rewardStd: Math.sqrt(finiteMean(rewards.map((value) => (value - reward) ** 2))) };
}

/** The line of an epoch. What was not measured, such as the loss of an epoch without updates, is left out. */
export function epochMetrics(work: EpochWork): EpochMetrics {
  const { epoch, scored, advantages, result, times } = work;
  const count = scored.rewards.length;
  return {
    epoch,
    updates: work.updatesBefore + result.updates,
    samples: (epoch + 1) * count,
    ...rewardStatistics(scored.rewards),
    groupRewardStd: advantages.rewardStd,
    zeroVarianceShare: advantages.zeroVarianceGroups / advantages.groups,
    advantageAbsMean: finiteMean(Array.from(advantages.advantages, Math.abs)),
    dropped: scored.dropped.filter(Boolean).length,
    promptsDrawn: work.promptsDrawn,
    ...(result.learningRate !== undefined && { learningRate: result.learningRate }),
    ...(work.windowStart !== undefined && { windowStart: work.windowStart }),
    ...Object.fromEntries(
      Object.entries(scored.details).map(([name, values]) => [`reward.${name}`, finiteMean(values)]),
    ),
    ...result.metrics,
    ...work.velocity,
    ...Object.fromEntries(Object.entries(work.images).map(([name, value]) => [`images.${name}`, value])),
    ...times,
    samplesPerSecond: count / times.seconds,
    ...work.utilisation,
  };
}

/** The mean of the finite values; NaN when there is none. */
export function finiteMean(values: readonly number[]): number {
  const finite = values.filter(Number.isFinite);
  return finite.reduce((sum, value) => sum + value, 0) / finite.length;
}
