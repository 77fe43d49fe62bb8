/** What `train` is given, and what it gives back. */
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

/** The options of an algorithm of one's own, under its name. */
export type OwnOptions<A extends AnyAlgorithm> = string extends A['name']
  ? unknown
  : { readonly [Name in A['name']]?: z.input<A['options']> };

export interface TrainOptions<C, P, A extends AnyAlgorithm = AnyAlgorithm> {
  readonly policy: Policy<C, P>;
  readonly prompts: PromptSource;
  /** What images are worth: a scorer, or a function (images, prompts, metadata) → one number per image. */
  readonly scorer: Scorer | RewardFunction;
  /** What was written, or what `resolveConfig` made of it. */
  readonly config?: GrpoConfig | (GrpoConfigInput & OwnOptions<A>);
  /** An algorithm of one's own, in place of the one that `config.algorithm` names. */
  readonly algorithm?: A;
  /** Prompts of evaluations, always all of them with the same noise; no evaluations without. */
  readonly evalPrompts?: PromptSource;
  /**
   * Rewards that evaluations have besides, by name: a scorer that does not train watches the one that does. Their scores are
   * among an evaluation's details.
   */
  readonly evalRewards?: Readonly<Record<string, Scorer | RewardFunction>> | undefined;
  /** Where checkpoints go; none are kept without it. */
  readonly store?: CheckpointStore;
  /** 'auto' continues from the newest checkpoint in the store, if any; a name from that one. */
  readonly resume?: 'auto' | (string & {}) | false;
  /**
   * What the run is made of beside `config`, as text that changes when it does: the model's files, the prompts, the reward.
   * It is kept in checkpoints, and a resumed run must have the same.
   */
  readonly setup?: SetupFingerprint;
  /** What may have changed since the checkpoint that a run resumes from: `grpo.clipRange`, `setup.reward`, … */
  readonly allowChanged?: readonly string[];
  /** Score a rollout batch while the next one runs; true by default. */
  readonly overlapRewards?: boolean;
  /** One device's peak TFLOP/s, for the metric `mfu`; known for NVIDIA's data-centre GPUs. */
  readonly peakTflops?: number | undefined;
  /** Aborting ends the run at the next safe point, with a checkpoint; of several processes all end with the one aborted. */
  readonly signal?: AbortSignal;
  /**
   * The processes that share `config.devices`, all of which call `train` with the same options; this one alone by default.
   * The store must be one that they share.
   */
  readonly group?: ProcessGroup;
  /** Tensors that this and the other callbacks make are freed after the call; `tf.keep` what should stay. */
  readonly onEpoch?: (metrics: EpochMetrics, details: EpochDetails) => void | Promise<void>;
  readonly onEvaluation?: (evaluation: Evaluation) => void | Promise<void>;
  readonly onProgress?: (progress: Progress) => void;
  /** The names of the programs that are being compiled or loaded, whenever they change; none when there is none. */
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
