/** Which prompts an epoch draws images for: a function of the seed, the epoch and what is known of the prompts. */
import { drawWithoutReplacement, randomAt } from '../random';
import type { PromptRecords } from './prompt-statistics';

export interface DrawPromptsOptions {
  readonly seed: number;
  /** 0 draws all prompts alike; with h, one that is a standard deviation below the mean reward comes e^h times as often. */
  readonly harderMoreOften: number;
}

/** Rewards further from the mean than this many standard deviations count like these. */
const FARTHEST = 2;
/** Of sums of rewards, relative. */
const ROUNDING = 1e-12;

/**
 * The indices of different prompts in the order in which an epoch takes them: the first ones, then others in place of those
 * left out.
 *
 * @param length prompts there are
 * @param count wanted; all of them where there are fewer
 */
export function drawPrompts(
  records: PromptRecords,
  epoch: number,
  length: number,
  count: number,
  { seed, harderMoreOften }: DrawPromptsOptions,
): number[] {
  const random = randomAt(seed, 1, epoch);
  const wanted = Math.min(count, length);
  if (harderMoreOften === 0) return drawWithoutReplacement(random, length, wanted);
  const hardness = hardnessOf(records);
  // Exponential waiting times of rate w: the first ones to ring are a weighted draw without replacement
  // (Efraimidis and Spirakis 2006).
  const waits = Array.from({ length }, (_, index) => ({
    index,
    wait: -Math.log(1 - random()) / Math.exp(harderMoreOften * (hardness.get(index) ?? 0)),
  }));
  return waits
    .sort((a, b) => a.wait - b.wait)
    .slice(0, wanted)
    .map(({ index }) => index);
}

/** How far each prompt's reward lies below the mean of those seen, in standard deviations; those not seen are at 0. */
function hardnessOf(records: PromptRecords): Map<number, number> {
  const seen = Object.entries(records).map(([index, [, reward]]) => [Number(index), reward] as const);
  const mean = seen.reduce((sum, [, reward]) => sum + reward, 0) / seen.length;
  const std = Math.sqrt(seen.reduce((sum, [, reward]) => sum + (reward - mean) ** 2, 0) / seen.length);
  // The mean of equal rewards may be off by rounding: that is no spread.
  if (!(std > ROUNDING * Math.abs(mean))) return new Map();
  return new Map(
    seen.map(([index, reward]) => [index, Math.max(-FARTHEST, Math.min(FARTHEST, (mean - reward) / std))]),
  );
}
