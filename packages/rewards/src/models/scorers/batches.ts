import * as tf from '@tensorflow/tfjs-core';
import { checkedScorer } from '../../checked-scorer';
import { type RgbImage, rgbImages } from '../../images';
import type { Scorer, Scores } from '../../scorer';

/** A scorer that holds weights on the backend until it is disposed. */
export interface ModelScorer extends Scorer {
  /** Frees the weights; the scorer cannot be used afterwards. */
  dispose(): void;
}

export interface BatchOptions {
  /** Images in one run of the model, 16 by default: bounds its memory. */
  batchSize?: number;
}

/** One run of a model: tensors [B] by name; `score` is the score, the others are details. */
export type ScoreBatch = (images: RgbImage[], prompts: string[]) => { score: tf.Tensor } & tf.NamedTensorMap;

/** A scorer that runs `run` on slices of at most `batchSize` images and joins the results in order. */
export function batchedScorer(
  name: string,
  run: ScoreBatch,
  dispose: () => void,
  { batchSize = 16 }: BatchOptions,
): ModelScorer {
  if (!(Number.isInteger(batchSize) && batchSize > 0)) {
    dispose();
    throw new RangeError(`${name}: batchSize must be a whole number above 0, not ${batchSize}`);
  }
  const scorer = checkedScorer(name, async (images, prompts, _metadata, { signal }) => {
    const pictures = await rgbImages(images);
    const joined: Record<string, number[]> = { score: [] };
    for (let at = 0; at < pictures.length; at += batchSize) {
      signal?.throwIfAborted();
      const parts = tf.tidy(() => run(pictures.slice(at, at + batchSize), prompts.slice(at, at + batchSize)));
      for (const [part, tensor] of Object.entries(parts)) {
        const values = await tensor.data();
        tensor.dispose();
        joined[part] = [...(joined[part] ?? []), ...values];
      }
    }
    const { score, ...details } = joined;
    return { scores: score!, details } satisfies Scores;
  });
  return { ...scorer, dispose };
}
