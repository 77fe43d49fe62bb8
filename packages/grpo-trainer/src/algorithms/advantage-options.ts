/** Options and checks that algorithms share, about comparing the images of a prompt. */
import { z } from 'zod';
import type { BaseConfig } from '../config/base';
import { rewardAdvantages } from '../losses/gdpo';
import { type AdvantageOptions, type Advantages, perPromptAdvantages } from '../maths/advantages';
import type { ScoredImages } from './algorithm';

export const perPrompt = z
  .boolean()
  .default(true)
  .describe('Group rewards by prompt (per_prompt_stat_tracking)');

export const advClipMax = z
  .number()
  .positive()
  .default(5)
  .describe('Advantages are clamped to ± this (train.adv_clip_max)');

export const advantages = z
  .enum(['sum', 'gdpo'])
  .default('sum')
  .describe(
    "Several rewards: compare their weighted sum, or compare each within its group, weight the results, and normalise over the epoch (globalStd then has no effect; Flow-Factory's advantage_aggregation)",
  );

/** Of algorithms whose advantages are standard scores. */
export const advantageOptions = {
  advantages,
  globalStd: z
    .boolean()
    .default(true)
    .describe('Divide advantages by the deviation of all rewards (sample.global_std)'),
  perPrompt,
};

/** The group of each image: its prompt, or one for all. */
export const groupedBy = (
  { perPrompt }: { readonly perPrompt: boolean },
  { prompts }: ScoredImages,
): readonly string[] => (perPrompt ? prompts : prompts.map(() => ''));

/** Advantages within these groups; dropped images are left out. */
export const advantagesWithin = (
  groups: readonly string[],
  scored: ScoredImages,
  { compare, globalStd, advantages }: CompareOptions = {},
): Advantages => {
  const { rewards, dropped } = scored;
  const ofSum = perPromptAdvantages(groups, rewards, {
    dropped,
    ...(compare && { compare }),
    ...(globalStd !== undefined && { globalStd }),
  });
  return advantages === 'gdpo' ? { ...ofSum, ...gdpoAdvantages(groups, scored) } : ofSum;
};

type CompareOptions = Pick<AdvantageOptions, 'compare' | 'globalStd'> & {
  readonly advantages?: z.output<typeof advantages>;
};

/** Rounding of sums of numbers around 1. */
const NOTHING = 1e-9;

/** GDPO of the images that were not dropped; a reward without parts is the only one. */
function gdpoAdvantages(
  groups: readonly string[],
  { rewards, dropped, details, weights }: ScoredImages,
): Pick<Advantages, 'advantages' | 'zeroVarianceGroups'> {
  const kept = groups.flatMap((_, i) => (dropped[i] ? [] : [i]));
  const parts = weights ?? { reward: 1 };
  const partOf = (name: string) => {
    const values = weights ? details[name] : rewards;
    return kept.map((i) => {
      const value = values?.[i];
      if (value === undefined || !Number.isFinite(value)) {
        throw new Error(`advantages: gdpo needs ${name} of every image; of image ${i} it is ${value}`);
      }
      return value;
    });
  };
  const compared = rewardAdvantages(
    kept.map((i) => groups[i]!),
    Object.fromEntries(Object.keys(parts).map((name) => [name, partOf(name)])),
    parts,
    { aggregation: 'gdpo' },
  );
  const advantages = new Float64Array(groups.length);
  for (const [at, i] of kept.entries()) {
    const value = compared[at]!;
    advantages[i] = Math.abs(value) < NOTHING ? 0 : value;
  }
  const telling = new Set(kept.filter((i) => advantages[i] !== 0).map((i) => groups[i]!));
  return { advantages, zeroVarianceGroups: new Set(kept.map((i) => groups[i]!)).size - telling.size };
}

/** Says so where a prompt has one image. */
export const needsSeveralImages = ({ samplesPerPrompt }: BaseConfig['sampling']): string[] =>
  samplesPerPrompt >= 2
    ? []
    : ['sampling.samplesPerPrompt must be at least 2: an advantage compares images of one prompt'];
