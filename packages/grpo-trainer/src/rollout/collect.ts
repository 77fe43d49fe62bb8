/** An epoch's samples: rollouts dispatched one after the other, each scored while the next one runs. */
import { jit } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { GrpoConfig } from '../config/schema';
import type { Placement } from '../devices';
import { indices } from '../indices';
import type { Params, Policy } from '../policy';
import type { Scorer, Scores } from '../scorer';
import type { EpochSamples } from '../update/objectives';
import type { FlopCounter } from '../utilisation';
import type { EpochPlan } from './epoch-plan';
import { flattenTensors, rolloutFunction, type StepRecords } from './rollout';
import { gatherSteps, stackSteps } from './steps';

interface Example {
  readonly prompt: string;
  readonly metadata?: Record<string, unknown>;
}

/** Samples with their rewards. */
export interface EpochBatch<C> extends EpochSamples {
  readonly condition: C;
  readonly prompts: string[];
  readonly promptIndex: number[];
  /** Where a sample's records lie. */
  placeOf(sample: number): number;
  /** NaN for images that the scorer dropped. */
  readonly rewards: number[];
  readonly details: Record<string, number[]>;
  readonly seconds: { secondsRollout: number; secondsReward: number };
  dispose(): void;
}

export interface CollectOptions {
  readonly signal?: AbortSignal;
  /** Score a batch while the next one runs. */
  readonly overlap: boolean;
  readonly onProgress?: (phase: 'rollout' | 'reward', done: number, total: number) => void;
}

/** Batches that may wait for their scores at a time; bounds the images held. */
export const MAX_SCORING = 2;

/**
 * The sampling half of an epoch. Samples of a prompt follow one another. Returns undefined when aborted.
 *
 * @throws what the scorer throws; an Error when it gives other than one finite reward an image.
 */
export function collect<C, P>(
  policy: Policy<C, P>,
  scorer: Scorer,
  plan: EpochPlan,
  config: GrpoConfig,
  placement: Placement,
  flops: FlopCounter,
) {
  const { epochSize, batchSize, batches } = plan;
  const { samplesPerPrompt, sameLatent } = config.sampling;
  const rollout = flops.count(
    rolloutFunction(policy, {
      epochSize,
      sameLatent,
      keepMean: config.training.objective === 'guard',
      placement,
    }),
  );
  const decode = flops.count(jit((latents: tf.Tensor) => policy.decode(latents), { name: 'decode' }));

  const placeOf = (sample: number) => placement.placeOf(sample, batchSize, epochSize);

  return async (
    trained: Params,
    examples: readonly Example[],
    window: readonly number[],
    key: tf.Tensor,
    { signal, overlap, onProgress }: CollectOptions,
  ): Promise<EpochBatch<C> | undefined> => {
    const started = performance.now();
    const encoded = policy.encodePrompts(examples.map(({ prompt }) => prompt));
    const condition = placement.everywhere(encoded);
    if (condition !== encoded) tf.dispose(flattenTensors(encoded));
    const promptIndex = Array.from({ length: epochSize }, (_, i) => Math.floor(i / samplesPerPrompt));
    const steps = stackSteps(plan.steps(window));
    const windowIndex = tf.tensor1d([...window], 'int32');
    const records: StepRecords[] = [];
    const latents: tf.Tensor[] = [];
    const scoring: Promise<Scores>[] = [];
    const release = () => tf.dispose(flattenTensors([condition, steps, windowIndex, records, latents]));
    try {
      for (let b = 0; b < batches; b++) {
        if (signal?.aborted) {
          await Promise.allSettled(scoring);
          release();
          return undefined;
        }
        const pending = overlap ? MAX_SCORING : 1;
        if (b >= pending) await scoring[b - pending];
        onProgress?.('rollout', b, batches);
        const from = b * batchSize;
        const samples = indices(from, from + batchSize);
        const rows = tf.tensor1d(promptIndex.slice(from, from + batchSize), 'int32');
        const batch = placement.rows({ samples, rows });
        const result = rollout(trained, condition, batch, steps, windowIndex, key);
        tf.dispose([samples, rows, batch.samples, batch.rows]);
        records.push(result.records);
        latents.push(result.latents);
        const images = decode(result.latents);
        const members = promptIndex.slice(from, from + batchSize).map((i) => examples[i]!);
        const scores = scoreBatch(scorer, images, members, signal).finally(() => images.dispose());
        scores.catch(() => {}); // seen below; until then not unhandled
        scoring.push(scores);
      }
      const secondsRollout = (performance.now() - started) / 1000;
      const scored: Scores[] = [];
      for (const [b, pending] of scoring.entries()) {
        onProgress?.('reward', b, batches);
        scored.push(await pending);
      }
      const promptAt = new Int32Array(epochSize);
      for (const [i, prompt] of promptIndex.entries()) promptAt[placeOf(i)] = prompt;
      const samples: EpochSamples = {
        ...placement.join(records.splice(0).map((own, b) => ({ records: own, latents: latents[b]! }))),
        promptOf: tf.tensor1d(promptAt, 'int32'),
        steps: gatherSteps(steps, windowIndex),
      };
      latents.length = 0;
      tf.dispose(flattenTensors([steps, windowIndex]));
      return {
        ...samples,
        condition,
        placeOf,
        prompts: promptIndex.map((i) => examples[i]!.prompt),
        promptIndex,
        rewards: scored.flatMap(({ scores }) => scores),
        details: joinDetails(scored),
        seconds: {
          secondsRollout,
          secondsReward: (performance.now() - started) / 1000 - secondsRollout,
        },
        dispose: () => tf.dispose(flattenTensors([samples, condition])),
      };
    } catch (error) {
      await Promise.allSettled(scoring);
      release();
      throw error;
    }
  };
}

/** Scores images and checks that every one got a finite reward, or was dropped. */
export async function scoreBatch(
  scorer: Scorer,
  images: tf.Tensor4D,
  examples: readonly Example[],
  signal?: AbortSignal,
): Promise<Scores> {
  const result = await scorer.score(
    images,
    examples.map(({ prompt }) => prompt),
    examples.map(({ metadata }) => metadata ?? {}),
    signal ? { signal } : {},
  );
  if (result.scores.length !== examples.length) {
    throw new Error(
      `Scorer ${scorer.name} gave ${result.scores.length} rewards for ${examples.length} images`,
    );
  }
  const { dropped } = result.details;
  const bad = result.scores.findIndex((score, i) => !Number.isFinite(score) && dropped?.[i] !== 1);
  if (bad >= 0) {
    const { prompt } = examples[bad]!;
    throw new Error(`Scorer ${scorer.name} gave ${result.scores[bad]} for ${JSON.stringify(prompt)}`);
  }
  return result;
}

/** Details by name over several batches; NaN where a batch lacks one. */
export function joinDetails(parts: readonly Scores[]): Record<string, number[]> {
  const names = new Set(parts.flatMap(({ details }) => Object.keys(details)));
  return Object.fromEntries(
    [...names].map((name) => [
      name,
      parts.flatMap(({ scores, details }) => details[name] ?? scores.map(() => Number.NaN)),
    ]),
  );
}
