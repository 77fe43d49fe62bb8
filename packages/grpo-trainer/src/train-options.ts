/** The arguments and the result of `train`. */
import type { z } from 'zod';
import type { AnyAlgorithm } from './algorithms/algorithm';
import type { CheckpointStore, SetupFingerprint } from './checkpoint/store';
import type { GrpoConfig, GrpoConfigInput } from './config/schema';
import type { EpochDetails, EpochMetrics } from './epoch-metrics';
import type { Evaluation } from './evaluate';
import type { Params, Policy } from './policy';
import type { ProcessGroup } from './process-group';
import type { Progress } from './progress';
import type { PromptSource, RewardFunction, Scorer } from './scorer';

/** The options of your own algorithm, under its name. */
export type OwnOptions<A extends AnyAlgorithm> = string extends A['name']
  ? unknown
  : { readonly [Name in A['name']]?: z.input<A['options']> };

export interface TrainOptions<C, P, A extends AnyAlgorithm = AnyAlgorithm> {
  readonly policy: Policy<C, P>;
  readonly prompts: PromptSource;
  /** What images are worth: a scorer, or a function (images, prompts, metadata) → one number per image. */
  readonly scorer: Scorer | RewardFunction;
  /** The options, resolved by `resolveConfig` or not. */
  readonly config?: GrpoConfig | (GrpoConfigInput & OwnOptions<A>);
  /** Your own algorithm, in place of the one that `config.algorithm` names. */
  readonly algorithm?: A;
  /** Evaluation prompts. Every evaluation uses all of them, with the same noise; without them nothing is evaluated. */
  readonly evalPrompts?: PromptSource;
  /**
   * Rewards that only evaluations compute, by name: they watch the reward that trains. Their scores are among an evaluation's
   * details.
   */
  readonly evalRewards?: Readonly<Record<string, Scorer | RewardFunction>> | undefined;
  /** Where checkpoints are saved; without it there are none. */
  readonly store?: CheckpointStore;
  /** 'auto' resumes from the newest checkpoint in the store, if any; a name resumes from that checkpoint. */
  readonly resume?: 'auto' | (string & {}) | false;
  /**
   * What defines the run besides `config`, as text that changes with it: the model's files, the prompts, the reward. It is saved
   * in checkpoints, and a run only resumes with the same text.
   */
  readonly setup?: SetupFingerprint;
  /** What may differ from the checkpoint that the run resumes from: `grpo.clipRange`, `setup.reward`, … */
  readonly allowChanged?: readonly string[];
  /** Score a rollout batch while the next one runs; true by default. */
  readonly overlapRewards?: boolean;
  /** One device's peak TFLOP/s, for the metric `mfu`; known for NVIDIA's data-centre GPUs. */
  readonly peakTflops?: number | undefined;
  /** Aborting saves a checkpoint at the next safe point and ends the run; if one of several processes is aborted, all end. */
  readonly signal?: AbortSignal;
  /**
   * The processes that share `config.devices`; by default only this one. All must call `train` with the same options and share
   * the store.
   */
  readonly group?: ProcessGroup;
  /** Tensors that this and the other callbacks make are freed after the call; `tf.keep` what should stay. */
  readonly onEpoch?: (metrics: EpochMetrics, details: EpochDetails) => void | Promise<void>;
  readonly onEvaluation?: (evaluation: Evaluation) => void | Promise<void>;
  readonly onProgress?: (progress: Progress) => void;
  /** Called with the names of the programs that are being compiled or loaded, whenever they change. */
  readonly onCompile?: (names: readonly string[]) => void;
  readonly onMessage?: (message: string) => void;
}

export type TrainResult = {
  readonly reason: 'finished' | 'interrupted' | 'diverged' | 'hacked';
  /** Why it diverged, or how its reward was hacked, in words. */
  readonly problem?: string;
  readonly epochs: number;
  readonly updates: number;
  /** The trained weights and their average; the caller disposes of them. */
  readonly trained: Params;
  readonly ema: Params;
};
