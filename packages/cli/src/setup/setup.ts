/** What a setup is: what the command trains. */
import type { LoadedLora } from '@flow-grpo/checkpoint-io';
import type { Params, Policy, PromptSource, RewardFunction, Scorer } from '@flow-grpo/grpo-trainer';
import type { SetupFingerprint } from '@flow-grpo/grpo-trainer/node';
import type { Person } from '@flow-grpo/rewards/human';
import type * as tf from '@tensorflow/tfjs-core';
import type { FlowBatch, FlowMatchingOptions } from '../pretrain/flow-matching';

/** What a setup gives; of its parts a command needs some. Made once the backend is ready. */
export interface RunSetup {
  readonly policy?: Policy;
  readonly prompts?: PromptSource;
  /** What images are worth: a function (images, prompts, metadata) → one number per image, or a scorer. */
  readonly scorer?: Scorer | RewardFunction;
  readonly evalPrompts?: PromptSource;
  /** Rewards that evaluations have besides, by name. */
  readonly evalRewards?: Readonly<Record<string, Scorer>>;
  /** Trained weights under the names by which they are saved for others; `model.safetensors` has the policy's without it. */
  readonly savedWeights?: (weights: Params) => Params;
  /** Path or hub id of the model that adapters belong to, for PEFT's adapter_config.json. */
  readonly baseModel?: string;
  /** Saves trained adapters for others, in another layout than PEFT's, which they have without it. */
  readonly saveAdapter?: (folder: string, lora: LoadedLora) => Promise<void>;
  /** What else the run is made of, as text that changes when it does: a run that resumes must have the same. */
  readonly fingerprint?: SetupFingerprint;
  /** For `flow-grpo pretrain`. */
  readonly pretrain?: {
    readonly params: Params;
    readonly velocity: (params: Params, x: tf.Tensor, t: tf.Tensor, condition: unknown) => tf.Tensor;
    readonly batchAt: (step: number) => FlowBatch<unknown> | Promise<FlowBatch<unknown>>;
    readonly options: FlowMatchingOptions;
  };
}

/** What making a setup may use and tell. */
export interface SetupContext {
  readonly signal?: AbortSignal | undefined;
  /** Adapters that the command was given: the policy is to be one whose adapters these are (`start` of `loraPolicy`). */
  readonly adapter?: LoadedLora | undefined;
  /** Told of long work, such as downloads. */
  readonly onMessage?: ((message: string) => void) | undefined;
  /** Whom the reward `human` asks: whoever looks at the run's page. */
  readonly person?: Person | undefined;
}

/** A module's default export; `options` are those of `setup.options` in the run's file. */
export type SetupFunction = (
  options: Readonly<Record<string, unknown>>,
  context: SetupContext,
) => RunSetup | Promise<RunSetup>;

/** Types a setup module's default export. */
export const defineSetup = (setup: SetupFunction): SetupFunction => setup;
