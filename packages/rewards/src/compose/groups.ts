import * as tf from '@tensorflow/tfjs-core';
import { checkBatch, imageCount } from '../images';
import type { ScoreOptions, Scorer, ScorerImages } from '../scorer';

/** The images of one prompt. */
export interface ImageGroup {
  prompt: string;
  /** Tensors are disposed by the caller of the reward, files are shared. */
  images: ScorerImages;
  metadata: Record<string, unknown>[];
  /** Rows of the batch, ascending. */
  rows: number[];
}

/** One number per image of the group. */
export type GroupReward = (group: ImageGroup, options: ScoreOptions) => Promise<number[]> | number[];

/**
 * A reward that sees a prompt's whole group at once, such as a diversity bonus or a tournament. Images of
 * equal prompts form a group, wherever they lie in the batch: keep groups whole when cutting batches.
 */
export function groupwise(name: string, reward: GroupReward): Scorer {
  return {
    name,
    wholeGroups: true,
    async score(images, prompts, metadata, options = {}) {
      checkBatch(name, images, prompts, metadata);
      const scores = new Array<number>(imageCount(images)).fill(Number.NaN);
      for (const rows of groupRows(prompts)) {
        options.signal?.throwIfAborted();
        const part = takeRows(images, rows);
        try {
          const group = {
            prompt: prompts[rows[0]!]!,
            images: part,
            metadata: rows.map((i) => metadata[i]!),
            rows,
          };
          const values = await reward(group, options);
          if (values.length !== rows.length) {
            throw new Error(`${name}: ${values.length} scores for a group of ${rows.length} images`);
          }
          rows.forEach((row, i) => {
            scores[row] = values[i]!;
          });
        } finally {
          if (!Array.isArray(part)) part.dispose();
        }
      }
      return { scores, details: {} };
    },
  };
}

/** Rows of equal prompts, groups in the order of their first row. */
export function groupRows(prompts: readonly string[]): number[][] {
  const groups = new Map<string, number[]>();
  prompts.forEach((prompt, row) => {
    const rows = groups.get(prompt);
    if (rows) rows.push(row);
    else groups.set(prompt, [row]);
  });
  return [...groups.values()];
}

/** Some images of a batch; a tensor is a new one, which the caller disposes. */
export function takeRows(images: ScorerImages, rows: number[]): ScorerImages {
  if (Array.isArray(images)) return rows.map((row) => images[row]!);
  return tf.tidy(() => tf.gather(images, tf.tensor1d(rows, 'int32')));
}
