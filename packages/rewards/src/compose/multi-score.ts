import { checkBatch, imageCount } from '../images';
import { mapConcurrent } from '../map-concurrent';
import type { Scorer, Scores } from '../scorer';
import type { Normalise } from './normalise';

export interface ScorePart {
  scorer: Scorer;
  /** Default 1. A part of weight 0 is computed and reported all the same. */
  weight?: number;
  /** Its name among the details; the scorer's own by default. */
  name?: string;
  /** Applied before the weight; the details keep the raw scores. */
  normalise?: Normalise;
}

/**
 * The weighted sum of several scorers, flow_grpo's `multi_score`: starts with the first part and adds in the
 * order given, in double precision. Scorers run concurrently. Details: each part's own details under their
 * names (`part.detail` where an earlier part took the name), its raw score under the part's name, what is
 * weighed under `part.normalised` where that is another number, the sum under `avg`. `weights` names what is weighed.
 * NaN in any part makes the sum NaN.
 *
 * @throws when two parts have the same name or a weight is not finite; from `score` when a scorer fails
 *   (the others are aborted) or answers with another number of scores than there are images.
 */
export function multiScore(parts: readonly ScorePart[]): Scorer {
  const named = parts.map((part) => ({ weight: 1, ...part, name: part.name ?? part.scorer.name }));
  const names = named.map((part) => part.name);
  if (parts.length === 0) throw new Error('multiScore: give at least one part');
  for (const { name, weight } of named) {
    if (!Number.isFinite(weight)) throw new RangeError(`multiScore: the weight of ${name} is ${weight}`);
    if (name === 'avg' || names.indexOf(name) !== names.lastIndexOf(name)) {
      throw new Error(`multiScore: the name ${name} is taken; give the part another by its \`name\``);
    }
  }
  return {
    name: names.join('+'),
    weights: Object.fromEntries(
      named.map(({ name, weight, normalise }) => [normalise ? `${name}.normalised` : name, weight]),
    ),
    ...(named.some(({ scorer }) => scorer.wholeGroups) && { wholeGroups: true }),
    plan(images, prompts) {
      for (const { scorer } of named) scorer.plan?.(images, prompts);
    },
    async score(images, prompts, metadata, { signal } = {}) {
      signal?.throwIfAborted();
      checkBatch('multiScore', images, prompts, metadata);
      const count = imageCount(images);
      const results = await mapConcurrent(
        named,
        async ({ scorer, name }, _, either) => {
          const result = await scorer.score(images, prompts, metadata, { signal: either });
          checkScores(name, result, count);
          return result;
        },
        { signal },
      );
      const details = new Map<string, number[]>();
      const sum = new Array<number>(count).fill(0);
      for (const [p, { name, weight, normalise }] of named.entries()) {
        const { scores, details: own } = results[p]!;
        for (const [key, values] of Object.entries(own)) {
          details.set(
            names.includes(key) || details.has(key) || key === 'avg' ? `${name}.${key}` : key,
            values,
          );
        }
        details.set(name, scores);
        const scaled = normalise ? normalise(scores) : scores;
        if (normalise) details.set(`${name}.normalised`, scaled);
        for (let i = 0; i < count; i++)
          sum[i] = p === 0 ? weight * scaled[i]! : sum[i]! + weight * scaled[i]!;
      }
      details.set('avg', sum);
      return { scores: [...sum], details: Object.fromEntries(details) };
    },
  };
}

/** Throws unless a scorer answered with one number per image. */
export function checkScores(name: string, { scores, details }: Scores, count: number): void {
  for (const [key, values] of [['scores', scores] as const, ...Object.entries(details)]) {
    if (values.length !== count) {
      throw new Error(`${name}: ${values.length} ${key} for ${count} images`);
    }
  }
}
