import { createHash } from 'node:crypto';
import { groupRows } from '../compose/groups';
import { checkBatch, imageCount, type RgbImage, rgbImages } from '../images';
import { mapConcurrent } from '../map-concurrent';
import type { Scorer } from '../scorer';
import { type Judgement, rewardsOfJudgement } from './judgement';

/** The images of one prompt, for a person to compare. */
export interface HumanQuestion {
  /** A digest of prompt and pixels: the same images are the same question, in any run. */
  readonly key: string;
  readonly prompt: string;
  readonly images: readonly RgbImage[];
}

/** Who answers: the page of a run, a test, a file. */
export interface Person {
  /** Called once when a reward is made that will ask. */
  expect?(): void;
  /** Rejects with the signal's reason when that is aborted. */
  ask(question: HumanQuestion, signal?: AbortSignal): Promise<Judgement>;
}

/**
 * A reward that a person gives. Images with equal prompts form a group; all groups of a batch are asked about at once, and
 * scoring waits for the answers.
 */
export function humanReward(person: Person): Scorer {
  person.expect?.();
  return {
    name: 'human',
    async score(images, prompts, metadata, { signal } = {}) {
      checkBatch('human', images, prompts, metadata);
      const scores = new Array<number>(imageCount(images)).fill(0);
      const pixels = await rgbImages(images);
      await mapConcurrent(
        groupRows(prompts),
        async (rows, _, either) => {
          const question = humanQuestion(
            prompts[rows[0]!]!,
            rows.map((row) => pixels[row]!),
          );
          const rewards = rewardsOfJudgement(await person.ask(question, either), rows.length);
          for (const [i, row] of rows.entries()) scores[row] = rewards[i]!;
        },
        signal ? { signal } : {},
      );
      return { scores, details: {} };
    },
  };
}

export function humanQuestion(prompt: string, images: readonly RgbImage[]): HumanQuestion {
  const hash = createHash('sha256').update(JSON.stringify([prompt, images[0]?.width, images[0]?.height]));
  for (const { data } of images) hash.update(data);
  return { key: hash.digest('hex').slice(0, 32), prompt, images };
}
