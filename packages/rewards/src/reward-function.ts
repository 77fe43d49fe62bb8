import { checkedScorer } from './checked-scorer';
import { imageCount } from './images';
import type { ScoreOptions, Scorer, ScorerImages } from './scorer';

/**
 * A reward as a plain function: images ([B, H, W, 3] in [0, 1], or files) with their prompts and metadata to one
 * number per image, higher is better. It must not dispose the images.
 */
export type RewardFunction = (
  images: ScorerImages,
  prompts: string[],
  metadata: Record<string, unknown>[],
  options: ScoreOptions,
) => ArrayLike<number> | Promise<ArrayLike<number>>;

/** The scorer of a function. Throws from `score` when it does not give one number per image. */
export function functionScorer(name: string, reward: RewardFunction): Scorer {
  return checkedScorer(name, async (images, prompts, metadata, options) => {
    const given: unknown = await reward(images, prompts, metadata, options);
    const list =
      Array.isArray(given) || ArrayBuffer.isView(given) ? (given as ArrayLike<unknown>) : undefined;
    const count = imageCount(images);
    if (list?.length !== count) {
      const got = list ? `${list.length} scores` : `a ${given === null ? 'null' : typeof given}`;
      throw new Error(
        `${name}: the function gave ${got} for ${count} images; it must give one number per image`,
      );
    }
    const scores = Array.from(list);
    const odd = scores.findIndex((score) => typeof score !== 'number');
    if (odd >= 0)
      throw new Error(`${name}: the score of image ${odd} is a ${typeof scores[odd]}, not a number`);
    return { scores: scores as number[], details: {} };
  });
}
