/** A person's judgement of the images of one prompt, and the rewards that it means. */

/**
 * - `best`: the place of the image that is best
 * - `order`: places from the best image to the worst; those left out rank below all of them, equally
 * - `thumbs`: for each image 1 (up), −1 (down), or 0
 */
export type Judgement =
  | { readonly best: number }
  | { readonly order: readonly number[] }
  | { readonly thumbs: readonly number[] };

/**
 * Rewards in [0, 1], one per image: 1 for the best and 0 for the others; evenly spaced for an order; 1, ½ and 0 for thumbs.
 *
 * @throws {RangeError} when the judgement is not one of `count` images
 */
export function rewardsOfJudgement(judgement: Judgement, count: number): number[] {
  const place = (value: unknown): value is number =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) < count;
  if ('best' in judgement) {
    if (!place(judgement.best))
      throw new RangeError(`best: ${judgement.best} is not one of the ${count} images`);
    return Array.from({ length: count }, (_, i) => (i === judgement.best ? 1 : 0));
  }
  if ('order' in judgement) {
    const { order } = judgement;
    if (
      !Array.isArray(order) ||
      order.length === 0 ||
      !order.every(place) ||
      new Set(order).size !== order.length
    ) {
      throw new RangeError(`order: [${order}] does not name some of ${count} images once each`);
    }
    // Those that are left out share what is below the last one named.
    const left = count - order.length;
    const rest = left > 0 ? (left - 1) / 2 : 0;
    const scale = Math.max(1, count - 1);
    const rewards = new Array<number>(count).fill(rest / scale);
    for (const [rank, image] of order.entries()) rewards[image] = (count - 1 - rank) / scale;
    return rewards;
  }
  const { thumbs } = judgement;
  if (
    !Array.isArray(thumbs) ||
    thumbs.length !== count ||
    !thumbs.every((value) => [-1, 0, 1].includes(value))
  ) {
    throw new RangeError(`thumbs: [${thumbs}] is not −1, 0 or 1 for each of ${count} images`);
  }
  return thumbs.map((value) => (value + 1) / 2);
}
