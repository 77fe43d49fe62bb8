/** Which images train, and which of them stay together: single images, pairs, or all images of a prompt. */

/** The images of an epoch after they were compared. */
export interface ComparedImages {
  readonly advantages: ArrayLike<number>;
  readonly dropped: ArrayLike<boolean>;
  /** The prompt of each, by its place in the epoch. */
  readonly promptIndex: readonly number[];
}

/** Images that are shuffled, padded and cut into gradient passes as one. */
export interface Units {
  /** Images in a unit, always as many. */
  readonly size: number;
  /** Units in an epoch, at most. */
  readonly perEpoch: number;
  /** The units of an epoch, by image. */
  select(images: ComparedImages): number[][];
}

/** Every image whose advantage is not 0. */
export const imagesWithAdvantage = (epochSize: number): Units => ({
  size: 1,
  perEpoch: epochSize,
  select: ({ advantages }) => live(advantages).map((i) => [i]),
});

/** Every image, also those with advantage 0, but those that were dropped. */
export const allImages = (epochSize: number): Units => ({
  size: 1,
  perEpoch: epochSize,
  select: ({ dropped, promptIndex }) => promptIndex.flatMap((_, i) => (dropped[i] ? [] : [[i]])),
});

/** Of every prompt the image with a positive and the one with a negative advantage, in that order. */
export const bestAndWorst = (prompts: number): Units => ({
  size: 2,
  perEpoch: prompts,
  select({ advantages, promptIndex }) {
    const images = live(advantages);
    const best = new Map<number, number>();
    for (const i of images) if (advantages[i]! > 0) best.set(promptIndex[i]!, i);
    return images
      .filter((i) => advantages[i]! < 0 && best.has(promptIndex[i]!))
      .map((i) => [best.get(promptIndex[i]!)!, i]);
  },
});

/** All images of a prompt; dropped ones have weight 0, and a prompt without any other image is left out. */
export const wholeGroups = (prompts: number, imagesPerPrompt: number): Units => ({
  size: imagesPerPrompt,
  perEpoch: prompts,
  select({ dropped, promptIndex }) {
    const groups = new Map<number, number[]>();
    for (const [i, prompt] of promptIndex.entries()) {
      const group = groups.get(prompt);
      if (group) group.push(i);
      else groups.set(prompt, [i]);
    }
    return [...groups.values()].filter((group) => group.some((i) => !dropped[i]));
  },
});

const live = (advantages: ArrayLike<number>) =>
  Array.from(advantages, (_, i) => i).filter((i) => advantages[i] !== 0);
