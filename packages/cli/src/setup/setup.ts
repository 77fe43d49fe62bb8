/** What the command trains: a kind of set-up that is built in, or a module of one's own. */
import { resolve } from 'node:path';
import type { LoadedLora } from '@flow-grpo/checkpoint-io';
import type { Params, Policy, PromptSource, RewardFunction, Scorer } from '@flow-grpo/grpo-trainer';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { isAbort, type SetupFingerprint } from '@flow-grpo/grpo-trainer/node';
import type { Person } from '@flow-grpo/rewards/human';
import type * as tf from '@tensorflow/tfjs-core';
import type { FlowBatch, FlowMatchingOptions } from '../pretrain/flow-matching';
import type { SetupChoice } from '../run-file/setup-schema';
import { importModule, moduleProblem, placeIn } from './import-module';
import { showo2Setup } from './showo2';
import { toySetup } from './toy';
import { zImageSetup } from './z-image';

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

/**
 * Makes the chosen setup.
 *
 * @throws {ConfigError} when something it names does not exist or does not fit.
 */
export async function makeSetup(choice: SetupChoice, context: SetupContext = {}): Promise<RunSetup> {
  if (choice.kind === 'toy') return toySetup();
  if (choice.kind === 'showo2') return showo2Setup(choice, context);
  if (choice.kind === 'z-image') return zImageSetup(choice, context);
  const file = resolve(choice.path);
  const make = await loadModule(file);
  try {
    return await make(choice.options, context);
  } catch (error) {
    if (error instanceof ConfigError || isAbort(error, context.signal)) throw error;
    throw new Error(`${file}${placeIn(error as Error, file)}: ${error}`, { cause: error });
  }
}

/** A module's default export. */
async function loadModule(file: string): Promise<SetupFunction> {
  const problem = await moduleProblem(file);
  if (problem !== undefined) throw new ConfigError(`setup.path: ${problem}`);
  const module = (await importModule(file).catch((error: Error) => {
    throw new ConfigError(`setup.path: ${file} cannot be loaded: ${error.message}${placeIn(error, file)}`, {
      cause: error,
    });
  })) as { default?: unknown };
  if (typeof module.default === 'function') return module.default as SetupFunction;
  const names = Object.keys(module);
  const exports = names.length > 0 ? `it exports ${names.join(', ')}` : 'it exports nothing';
  throw new ConfigError(
    `setup.path: ${file} must export a function by default (see defineSetup); ${exports}`,
  );
}
