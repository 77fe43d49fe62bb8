/** Scores a batch of images and checks what came back. */
import type * as tf from '@tensorflow/tfjs-core';
import type { Example, Scorer, Scores, ScoringOptions } from './scorer';

/** Batches that may wait for their scores at a time; bounds the images in memory. */
export const MAX_SCORING = 2;

/** Scores images and checks that every one got a finite reward, or was dropped. */
export async function scoreBatch(
  scorer: Scorer,
  images: tf.Tensor4D,
  examples: readonly Example[],
  purpose: NonNullable<ScoringOptions['purpose']>,
  signal?: AbortSignal,
): Promise<Scores> {
  const result = await scorer.score(
    images,
    examples.map(({ prompt }) => prompt),
    examples.map(({ metadata }) => metadata ?? {}),
    { purpose, ...(signal && { signal }) },
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
