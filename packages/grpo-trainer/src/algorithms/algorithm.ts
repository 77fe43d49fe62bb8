/** `Algorithm`: everything that is particular to an algorithm, as one value. */
import type * as tf from '@tensorflow/tfjs-core';
import type { z } from 'zod';
import type { BaseConfig } from '../config/base';
import type { Advantages } from '../maths/advantages';
import type { Purpose } from '../policy';
import type { Pass } from './pass';
import type { Units } from './units';

/**
 * An algorithm. `train`, the rollout, the update, the configuration's schema, the start table and the option tables in the
 * documentation read this value; none of them knows an algorithm by name.
 */
export interface Algorithm<Name extends string = string, Options extends z.ZodObject = z.ZodObject> {
  /** `algorithm: name` in a configuration chooses it. */
  readonly name: Name;
  /** What it does, in one sentence. */
  readonly summary: string;
  /** Its paper, and the official code whose numbers it reproduces. */
  readonly source: string;
  /**
   * Its options, under `name` in the configuration. Each has a default and a description that ends with its name in the paper
   * or the official code, in brackets.
   */
  readonly options: Options;
  /** Contradictions with the rest of the configuration, one line each, naming an option. */
  check?(options: z.output<Options>, config: BaseConfig): string[];
  /** The algorithm with these options, for a run. */
  configure(options: z.output<Options>, run: RunFacts): ConfiguredAlgorithm;
}

/** Any algorithm, whatever its name and options. */
// biome-ignore lint/suspicious/noExplicitAny: options differ from algorithm to algorithm, and only it reads them
export type AnyAlgorithm = Algorithm<string, any>;

/** Infers the types of an algorithm's name and options. */
export const defineAlgorithm = <const Name extends string, Options extends z.ZodObject>(
  algorithm: Algorithm<Name, Options>,
): Algorithm<Name, Options> => algorithm;

/** What an algorithm knows about a run when it is configured. */
export interface RunFacts {
  readonly config: BaseConfig;
  /** Stochastic steps per epoch. */
  readonly windowSize: number;
  /** Images per epoch. */
  readonly epochSize: number;
}

/** An algorithm with its options. */
export interface ConfiguredAlgorithm {
  readonly rollout: RolloutNeeds;
  /** Copies of the trained weights by name, beside the weights themselves; none by default. */
  readonly copies?: Readonly<Record<string, WeightCopy>>;
  /** How many points (x, t) per image the loss uses: recorded steps, or newly drawn times. */
  readonly pointsPerImage: number;
  /** Which images train, and which must share a gradient pass. */
  readonly units: Units;
  /** From rewards to advantages, once per epoch, in double precision. */
  advantages(scored: ScoredImages): Advantages;
  /**
   * Values that the loss compares with those before the epoch's first update, such as log-probabilities: [n, …] by name, of
   * the trained weights at the points of a pass. One executable computes them before and after, so that unchanged weights give
   * the same bits. The loss reads them with {@link Pass.before}.
   */
  measure?(pass: Pass): Readonly<Record<string, tf.Tensor>>;
  /** How many of the measured values are as large as latents, for memory estimates; none by default. */
  readonly measuredLatents?: number;
  /** The loss's metrics and how each is reduced to one number per epoch. */
  readonly metrics: Readonly<Record<string, Reduction>>;
  /** Names of additional values that the loss reports per recorded step; none by default. */
  readonly perStep?: readonly string[];
  /**
   * The loss of a gradient pass. It is traced by `jit`: it must not read tensor data, and takes random numbers from
   * `pass.key`.
   */
  loss(pass: Pass): Loss;
}

/** What an algorithm requires of a rollout. */
export interface RolloutNeeds {
  /** 'sde': the steps in `sampling.window` draw noise, the others are Euler's; 'ode': all steps are Euler's. */
  readonly sampler: 'sde' | 'ode';
  /**
   * What to keep: only the final latents; also the stochastic steps (state before and after, log-probability, the policy's
   * features); or those with the steps' means.
   */
  readonly keep: 'latents' | 'steps' | 'means';
  /** The copy of the weights that draws the images; the trained weights by default. */
  readonly weights?: string;
}

/**
 * A copy of the trained weights. It starts equal to them; when it moves, copy ← decay · copy + (1 − decay) · trained.
 * Copies that move are part of a run's state: saved, resumed to the bit, sharded and donated like the weights. One that
 * never moves is made from the policy's weights again when a run resumes.
 */
export type WeightCopy = (
  | { readonly moves: 'never' }
  | {
      /** After every optimizer step, or after every epoch. */
      readonly moves: 'update' | 'epoch';
      /**
       * 0 makes it equal to the trained weights, 1 leaves it unchanged.
       *
       * @param updates with 'update' the optimizer steps before the one just made, with 'epoch' those made so far
       */
      decay(updates: number): number;
    }
) & {
  /** How its velocities are computed: as in training (default), or as in sampling, i.e. guided where rollouts are. */
  readonly purpose?: Purpose;
};

/** The images of an epoch with their rewards. */
export interface ScoredImages {
  /** The prompt of each image. */
  readonly prompts: readonly string[];
  /** NaN for dropped images. */
  readonly rewards: readonly number[];
  /** Whether an image has no reward because the scorer gave up on it. */
  readonly dropped: readonly boolean[];
  /** The scorer's other numbers, such as the parts of a sum of rewards. */
  readonly details: Readonly<Record<string, readonly number[]>>;
  /** Where rewards are a weighted sum: the weight of each part, by its name among the details. */
  readonly weights?: Readonly<Record<string, number>>;
}

/**
 * How a metric of gradient passes becomes one number per epoch.
 *
 * - `mean`: the loss gives each pass's share of a weighted mean (Σ weight · value), so passes add up to the mean over an
 *   update, and the epoch's number is the mean over its updates
 * - `sum`: passes and updates add up
 * - `max`: the largest
 */
export type Reduction = 'mean' | 'sum' | 'max';

export type Loss = {
  /** Scalar. The losses of an update's passes add up to that of the update: see {@link Pass.weights}. */
  readonly loss: tf.Tensor;
  /** Scalars by the names of {@link ConfiguredAlgorithm.metrics}; no gradient flows through them. */
  readonly metrics: Readonly<Record<string, tf.Tensor>>;
  /**
   * Values of recorded points by name, [n], NaN where one does not count; the epoch's numbers are the mean and the 99th
   * percentile of each step, `NAME.STEP.mean` and `NAME.STEP.p99`.
   */
  readonly perStep?: Readonly<Record<string, tf.Tensor>>;
};
