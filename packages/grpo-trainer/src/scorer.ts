/** `Scorer`: turns images into rewards. The scorers of @flow-grpo/rewards have this type. */
import type * as tf from '@tensorflow/tfjs-core';
import { ConfigError } from './config/config-error';
import { copiedMetadata, numbersOf } from './scores';

export interface Scores {
  /** One reward per image, finite; NaN for an image that is dropped. */
  readonly scores: readonly number[];
  /**
   * More numbers per image by name, such as the parts of a weighted sum; NaN where one does not apply. `dropped` is 1 for
   * images without a reward: training leaves them out and counts them.
   */
  readonly details: Readonly<Record<string, readonly number[]>>;
}

export interface Scorer {
  readonly name: string;
  /** Of rewards that are a weighted sum: the weight of each part, by the name that it has among the details. */
  readonly weights?: Readonly<Record<string, number>>;
  /** Whether it compares the images of a prompt, and so needs all of them in one call. */
  readonly wholeGroups?: boolean;
  /**
   * The trainer frees what a call makes when it has answered (`tidyAsync` of @flow-grpo/tfjs-jit): models are loaded before,
   * and what should stay is kept by `tf.keep`.
   *
   * @param images [B, H, W, 3] in [0, 1]; the trainer disposes of it afterwards.
   */
  score(
    images: tf.Tensor4D,
    prompts: string[],
    metadata: Record<string, unknown>[],
    options?: ScoringOptions,
  ): Promise<Scores>;
  /** Runs, inside of compileAhead, what `score` runs on the device for images like these; absent where that is nothing. */
  plan?(images: tf.Tensor4D, prompts: string[]): void;
}

export interface ScoringOptions {
  readonly signal?: AbortSignal;
  /** What the images were drawn for. */
  readonly purpose?: 'training' | 'evaluation';
}

/**
 * The simplest reward: a function that returns one number per image. Tensors that it makes on the way are freed, as with
 * {@link Scorer.score}.
 *
 * @param images [B, H, W, 3] in [0, 1]; the trainer disposes of it afterwards.
 */
export type RewardFunction = (
  images: tf.Tensor4D,
  prompts: string[],
  metadata: Record<string, unknown>[],
) => ArrayLike<number> | Promise<ArrayLike<number>>;

/** Turns a plain function into a scorer with the function's name. */
export function asScorer(reward: Scorer | RewardFunction): Scorer {
  if (typeof reward !== 'function') return reward;
  return {
    name: reward.name || 'reward',
    score: async (images, prompts, metadata) => {
      const count = prompts.length;
      const given: unknown = await reward(images, prompts, metadata);
      return {
        scores: numbersOf(`Scorer ${reward.name || 'reward'} gave`, 'rewards', given, count),
        details: {},
      };
    },
  };
}

/** Prompts by index: an array, or anything with `length` and `at`. */
export interface PromptSource {
  readonly length: number;
  at(index: number): Example | undefined;
}

/** A prompt, and metadata for the scorer. */
export interface Example {
  readonly prompt: string;
  readonly metadata?: Record<string, unknown>;
}

/**
 * A scorer with others that only watch: their scores become details under their names, and never change the reward.
 *
 * @throws {ConfigError} from `score` when a detail already has one of the names.
 */
export function withEvalRewards(
  scorer: Scorer,
  others: Readonly<Record<string, Scorer | RewardFunction>> = {},
): Scorer {
  const watching = Object.entries(others).map(([name, reward]) => [name, asScorer(reward)] as const);
  if (watching.length === 0) return scorer;
  return {
    ...scorer,
    async score(images, prompts, metadata, options) {
      const texts = [...prompts];
      const own = await scorer.score(images, prompts, metadata.map(copiedMetadata), options);
      const details: Record<string, readonly number[]> = { ...own.details };
      for (const [name, other] of watching) {
        if (name in details) {
          throw new ConfigError(
            `evalRewards.${name}: the reward that trains reports ${name} already; give it another name`,
          );
        }
        const { scores } = await other.score(images, [...texts], metadata.map(copiedMetadata), options);
        details[name] = numbersOf(`evalRewards.${name} gave`, 'scores', scores, texts.length);
      }
      return { scores: own.scores, details };
    },
  };
}
