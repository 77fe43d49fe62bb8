import type { RequiredFiles } from '@flow-grpo/checkpoint-io';
import type { z } from 'zod';
import type { Person } from '../human/human-reward';
import type { SourceOptions } from '../models/load/source';
import type { RewardFunction } from '../reward-function';
import type { Scorer } from '../scorer';

/** A reward that can be asked for by name, with options that a file or a command line can hold. */
export interface RewardDefinition<Options extends object = Readonly<Record<string, unknown>>> {
  /** What the score means, in one sentence without its full stop. */
  readonly summary: string;
  /** Whether a score depends on the prompt (or on metadata that come with it). Default true. */
  readonly needsPrompts?: boolean;
  /** Whether it runs a model on the tensor backend. Default false. */
  readonly needsBackend?: boolean;
  /** Its options; an object schema whose unknown keys are errors. Default: none. */
  readonly options?: z.ZodType<Options>;
  /** What is read from paths and the hub: checks look for it, loading reads it and nothing else. */
  readonly requiredFiles?: (options: Options) => readonly RequiredFiles[];
  /** An npm package that must be installed. */
  readonly requiredPackage?: string;
  /** The option with the address of a server that must answer. */
  readonly serverOption?: string;
  /** Where its checkpoint is published, in words. */
  readonly published?: string;
  /** Makes the scorer, or the function that scores. */
  readonly make: (options: Options, context: RewardContext) => Made | Promise<Made>;
}

type Made = Scorer | RewardFunction;

/** What making a reward may use and tell. */
export interface RewardContext extends SourceOptions {
  /** Whom the reward `human` asks; it cannot be made without. */
  readonly person?: Person | undefined;
}

/**
 * Types a definition by its options. A module that a run file or `flow-grpo-score` names exports one by default.
 */
export const defineReward = <Options extends object = Readonly<Record<string, unknown>>>(
  definition: RewardDefinition<Options>,
): RewardDefinition => definition as unknown as RewardDefinition;
