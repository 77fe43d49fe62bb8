import pRetry, { AbortError } from 'p-retry';
import { checkBatch, imageCount } from '../images';
import type { ScoreOptions, Scorer, ScorerImages, Scores } from '../scorer';
import { groupRows, takeRows } from './groups';
import { checkScores } from './multi-score';

export interface FailureRule {
  /** Further attempts after a failure, with growing, jittered pauses. Default 2. */
  retries?: number;
  /** First pause in milliseconds; doubles each time, up to a minute. Default 500. */
  pause?: number;
  /**
   * What happens when an image still has no finite score. `stop`: the scoring throws. `drop`: every image of
   * its prompt scores NaN, with NaN details, so that a trainer can leave the group out. Default `stop`.
   */
  action?: 'stop' | 'drop';
  /** Called with each failure, for logs. */
  onFailure?: (error: Error) => void;
}

/**
 * A scorer with a rule for failures: an error, the wrong number of scores, or a score that is not finite. With
 * `drop`, a failing batch is scored again prompt by prompt, so that only failing groups are dropped; the detail
 * `dropped` marks them (0 or 1 per image). Aborting is not a failure.
 */
export function withFailureRule(scorer: Scorer, rule: FailureRule = {}): Scorer {
  const { retries = 2, pause = 500, action = 'stop', onFailure: tell } = rule;
  const attempt = (
    images: ScorerImages,
    prompts: string[],
    metadata: Record<string, unknown>[],
    { signal }: ScoreOptions,
  ): Promise<Scores> =>
    pRetry(
      async () => {
        try {
          const result = await scorer.score(images, prompts, metadata, { signal });
          checkScores(scorer.name, result, prompts.length);
          const bad = result.scores.findIndex((score) => !Number.isFinite(score));
          if (bad >= 0) throw new Error(`${scorer.name}: image ${bad} scores ${result.scores[bad]}`);
          return result;
        } catch (cause) {
          const error = cause instanceof Error ? cause : new Error(String(cause));
          if (signal?.aborted) throw new AbortError(error);
          tell?.(error);
          // p-retry takes some TypeErrors for programming faults and gives up at once; here all are alike.
          throw error instanceof TypeError ? new Error(error.message, { cause: error }) : error;
        }
      },
      { retries, minTimeout: pause, maxTimeout: 60_000, randomize: true, signal },
    );

  return {
    ...scorer,
    async score(images, prompts, metadata, options = {}) {
      checkBatch(scorer.name, images, prompts, metadata);
      options.signal?.throwIfAborted();
      if (action === 'stop') return attempt(images, prompts, metadata, options);
      const count = imageCount(images);
      try {
        const { scores, details } = await attempt(images, prompts, metadata, options);
        return { scores, details: { ...details, dropped: new Array<number>(count).fill(0) } };
      } catch {
        options.signal?.throwIfAborted();
      }
      const scores = new Array<number>(count).fill(Number.NaN);
      const details: Record<string, number[]> = { dropped: new Array<number>(count).fill(1) };
      for (const rows of groupRows(prompts)) {
        const part = takeRows(images, rows);
        try {
          const result = await attempt(
            part,
            rows.map((i) => prompts[i]!),
            rows.map((i) => metadata[i]!),
            options,
          );
          for (const [key, values] of Object.entries({ ...result.details, dropped: rows.map(() => 0) })) {
            details[key] ??= new Array<number>(count).fill(Number.NaN);
            rows.forEach((row, i) => {
              details[key]![row] = values[i]!;
            });
          }
          rows.forEach((row, i) => {
            scores[row] = result.scores[i]!;
          });
        } catch {
          options.signal?.throwIfAborted();
        } finally {
          if (!Array.isArray(part)) part.dispose();
        }
      }
      return { scores, details };
    },
  };
}
