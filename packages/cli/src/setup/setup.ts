/** The parts of a setup. */
import type { LoadedLora } from '@flow-grpo/checkpoint-io';
import type { Params, Policy, PromptSource, RewardFunction, Scorer } from '@flow-grpo/grpo-trainer';
import type { SetupFingerprint } from '@flow-grpo/grpo-trainer/node';
import type { Person } from '@flow-grpo/rewards/human';
import type * as tf from '@tensorflow/tfjs-core';
import type { FlowBatch, FlowMatchingOptions } from '../pretrain/flow-matching';

/** What a setup provides; each command needs some of its parts. Made after the backend has started. */
export interface RunSetup {
  readonly policy?: Policy;
  readonly prompts?: PromptSource;
  /** What images are worth: a function (images, prompts, metadata) → one number per image, or a scorer. */
  readonly scorer?: Scorer | RewardFunction;
  readonly evalPrompts?: PromptSource;
  /** Rewards that only evaluations compute, by name. */
  readonly evalRewards?: Readonly<Record<string, Scorer>>;
  /** The trained weights under the names to save them by; without it `model.safetensors` has the policy's names. */
  readonly savedWeights?: (weights: Params) => Params;
  /** Path or hub id of the model that adapters belong to, for PEFT's adapter_config.json. */
  readonly baseModel?: string;
  /** Saves trained adapters in a layout of its own; without it they are saved in PEFT's. */
  readonly saveAdapter?: (folder: string, lora: LoadedLora) => Promise<void>;
  /** What else defines the run, as text that changes with it: a run only resumes with the same text. */
  readonly fingerprint?: SetupFingerprint;
  /** For `flow-grpo pretrain`. */
  readonly pretrain?: {
    readonly params: Params;
    readonly velocity: (params: Params, x: tf.Tensor, t: tf.Tensor, condition: unknown) => tf.Tensor;
    readonly batchAt: (step: number) => FlowBatch<unknown> | Promise<FlowBatch<unknown>>;
    readonly options: FlowMatchingOptions;
  };
}

/** What a setup may use while it is made. */
export interface SetupContext {
  readonly signal?: AbortSignal | undefined;
  /** Adapters given to the command, for the policy to start from (`start` of `loraPolicy`). */
  readonly adapter?: LoadedLora | undefined;
  /** Called with messages about long work, such as downloads. */
  readonly onMessage?: ((message: string) => void) | undefined;
  /** Who answers the reward `human`: the person at the run's page. */
  readonly person?: Person | undefined;
}

/** A module's default export; `options` are those of `setup.options` in the run's file. */
export type SetupFunction = (
  options: Readonly<Record<string, unknown>>,
  context: SetupContext,
) => RunSetup | Promise<RunSetup>;

/** Types a setup module's default export. */
export const defineSetup = (setup: SetupFunction): SetupFunction => setup;
