import { checkBatch } from './images';
import type { ScoreOptions, Scorer } from './scorer';

/** A scorer that checks every batch before `score` is called, and never calls it after an abort. */
export function checkedScorer(
  name: string,
  score: (
    images: Parameters<Scorer['score']>[0],
    prompts: string[],
    metadata: Record<string, unknown>[],
    options: ScoreOptions,
  ) => ReturnType<Scorer['score']>,
): Scorer {
  return {
    name,
    async score(images, prompts, metadata, options = {}) {
      options.signal?.throwIfAborted();
      checkBatch(name, images, prompts, metadata);
      return score(images, prompts, metadata, options);
    },
  };
}
