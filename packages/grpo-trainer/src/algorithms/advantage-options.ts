/** Options and checks that algorithms share, about comparing the images of a prompt. */
import { z } from 'zod';
import type { BaseConfig } from '../config/base';
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

/** Of algorithms whose advantages are standard scores. */
export const advantageOptions = {
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
export const comparedWithin = (
  groups: readonly string[],
  { rewards, dropped }: ScoredImages,
  { compare, globalStd }: Pick<AdvantageOptions, 'compare' | 'globalStd'> = {},
): Advantages =>
  perPromptAdvantages(groups, rewards, {
    dropped,
    ...(compare && { compare }),
    ...(globalStd !== undefined && { globalStd }),
  });

/** Says so where a prompt has one image. */
export const comparesImages = ({ samplesPerPrompt }: BaseConfig['sampling']): string[] =>
  samplesPerPrompt >= 2
    ? []
    : ['sampling.samplesPerPrompt must be at least 2: an advantage compares images of one prompt'];
