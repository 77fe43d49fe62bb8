/** Scores a batch of images and checks what came back. */
import { jit, takeLocal, tidyAsync } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Placement } from './placement';
import type { Policy } from './policy';
import type { ProcessGroup, SharedSignal } from './process-group';
import type { Example, Scorer, Scores, ScoringOptions } from './scorer';

/** Batches that may wait for their scores at a time; bounds the images in memory. */
export const MAX_SCORING = 2;

/** Scores images and checks that every one got a finite reward, or was dropped. What the scorer makes is freed. */
export async function scoreBatch(
  scorer: Scorer,
  images: tf.Tensor4D,
  examples: readonly Example[],
  purpose: NonNullable<ScoringOptions['purpose']>,
  signal?: AbortSignal,
): Promise<Scores> {
  const prompts = examples.map(({ prompt }) => prompt);
  const metadata = examples.map((example) => example.metadata ?? {});
  const options = { purpose, ...(signal && { signal }) };
  const result = await tidyAsync(() => scorer.score(images, prompts, metadata, options)).catch(withTidyHint);
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

/** A scorer that reuses what it made in an earlier call finds it disposed of, which tfjs says in one of these ways. */
function withTidyHint(error: unknown): never {
  if (!(error instanceof Error) || !/tensor is disposed|reading 'backend'/i.test(error.message)) throw error;
  const hint =
    'what a scorer makes in a call is freed after it: load models before training, or tf.keep what stays';
  throw new Error(`${error.message} (${hint})`, { cause: error });
}

/** The compiled decoder of a policy. Of several processes each gets the images of its own rows. */
export function decodeFunction<C, P>(policy: Policy<C, P>, { placement }: Pick<ScoringPlace, 'placement'>) {
  return jit((latents: tf.Tensor) => placement.shardBatch(policy.decode(latents)), { name: 'decode' });
}

/** Where a batch's images are, and who else scores. */
export interface ScoringPlace {
  readonly placement: Placement;
  readonly group: ProcessGroup;
  readonly stop: SharedSignal;
}

/**
 * Has each process score the images of its own devices, and gives the scores of all; takes the images. Where one process was
 * told to end all of them throw, at the same batch.
 *
 * @param name of the batch, the same in all processes and no other's at the time
 * @param images may be more than the examples: a batch is filled up to what the devices share evenly
 */
export async function scoreOwn(
  name: string,
  scorer: Scorer,
  images: tf.Tensor4D,
  examples: readonly Example[],
  purpose: NonNullable<ScoringOptions['purpose']>,
  { placement, group, stop }: ScoringPlace,
): Promise<Scores> {
  if (group.numProcesses === 1) return scoreBatch(scorer, images, examples, purpose, stop.signal);
  const { from, count } = placement.ownRows(images.shape[0]);
  const mine = examples.slice(from, from + count);
  const taken = takeLocal(images);
  let own: Scores = { scores: [], details: {} };
  try {
    if (mine.length > 0) {
      const scored = mine.length < count ? tf.slice(taken, 0, mine.length) : taken;
      try {
        own = await scoreBatch(scorer, scored, mine, purpose);
      } finally {
        if (scored !== taken) scored.dispose();
      }
    }
  } finally {
    taken.dispose();
  }
  const all = await group.gatherJson(`scores of ${name}`, { ...own, asked: stop.isAsked() });
  stop.heard(all.map(({ asked }) => asked));
  // JSON has null for NaN, the score of an image that was dropped.
  const numbers = (values: readonly (number | null)[]) => values.map((value) => value ?? Number.NaN);
  const parts = all.map(({ scores, details }) => ({
    scores: numbers(scores),
    details: Object.fromEntries(Object.entries(details).map(([key, values]) => [key, numbers(values)])),
  }));
  return { scores: parts.flatMap(({ scores }) => scores), details: joinDetails(parts) };
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
