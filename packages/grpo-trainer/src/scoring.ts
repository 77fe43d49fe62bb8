/** Scores a batch of images and checks what came back. */
import { jit, takeLocal, tidyAsync } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Placement } from './placement';
import type { Policy } from './policy';
import type { ProcessGroup, SharedSignal } from './process-group';
import type { Example, Scorer, Scores, ScoringOptions } from './scorer';
import { checkedScores, copiedMetadata } from './scores';

/** Batches that may wait for their scores at a time; bounds the images in memory. */
export const MAX_SCORING = 2;

/**
 * Scores images and checks that every one got a finite reward, or was dropped. What the scorer makes is freed, and what it
 * changes of prompts and metadata changes its own copies.
 */
export async function scoreBatch(
  scorer: Scorer,
  images: tf.Tensor4D,
  examples: readonly Example[],
  purpose: NonNullable<ScoringOptions['purpose']>,
  signal?: AbortSignal,
): Promise<Scores> {
  const prompts = examples.map(({ prompt }) => prompt);
  const metadata = examples.map((example) => copiedMetadata(example.metadata ?? {}));
  const options = { purpose, ...(signal && { signal }) };
  const refuseDisposed = (cause?: unknown) => {
    if (!images.isDisposed) return;
    throw new Error(
      `Scorer ${scorer.name} disposed of the images it was given, which others still read: it must leave them`,
      { cause },
    );
  };
  // The scorer may change the lists it gets.
  const given = await tidyAsync(() => scorer.score(images, [...prompts], metadata, options)).catch(
    (error: unknown) => {
      refuseDisposed(error);
      return withTidyHint(error);
    },
  );
  refuseDisposed();
  return checkedScores(scorer.name, given, prompts);
}

/** A scorer that reuses what it made in an earlier call finds it disposed of, which tfjs says in one of these ways. */
function withTidyHint(error: unknown): never {
  if (!(error instanceof Error) || !/tensor is disposed|reading 'backend'/i.test(error.message)) throw error;
  const hint =
    'what a scorer makes in a call is freed after it: load models before training, or tf.keep what stays';
  throw new Error(`${error.message} (${hint})`, { cause: error });
}

/** The compiled decoder of a policy. Of several processes each gets the images of its own rows. */
export function decodeFunction<C, P>(
  policy: Policy<C, P>,
  { placement, group }: Pick<ScoringPlace, 'placement' | 'group'>,
) {
  return jit(
    (latents: tf.Tensor) => {
      const images = policy.decode(latents);
      return group.numProcesses === 1 ? placement.keepRows(images) : placement.shardBatch(images);
    },
    { name: 'decode' },
  );
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
