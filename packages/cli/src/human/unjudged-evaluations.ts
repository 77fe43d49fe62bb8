import type { Scorer } from '@flow-grpo/grpo-trainer';

/**
 * A scorer that a person is part of, and is not asked by evaluations: their images are drawn and shown, hundreds of them,
 * and count as dropped.
 */
export function unjudgedEvaluations(scorer: Scorer): Scorer {
  return {
    ...scorer,
    async score(images, prompts, metadata, options = {}) {
      if (options.purpose !== 'evaluation') return scorer.score(images, prompts, metadata, options);
      return { scores: prompts.map(() => Number.NaN), details: { dropped: prompts.map(() => 1) } };
    },
  };
}
