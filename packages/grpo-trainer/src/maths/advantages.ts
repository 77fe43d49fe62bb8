/** Rewards of a group of images for one prompt → how much better than its siblings each image is. */

/**
 * - `grpo`: (reward − group mean) / (standard deviation + 1e-4)
 * - `rwr`: the reward itself (reward-weighted regression)
 * - `sft`: 1 for every member that has the group's best reward, else 0
 * - `dpo`: +1 for the first best, −1 for the first worst, else 0; a constant group gets −1, +1 on its first two
 */
export type AdvantageKind = 'grpo' | 'rwr' | 'sft' | 'dpo';

export interface AdvantageOptions {
  /** 'grpo' by default. */
  readonly kind?: AdvantageKind;
  /** Divide by the deviation of all rewards instead of the group's; the mean stays the group's. */
  readonly globalStd?: boolean;
  /** Advantages are clamped to [−clip, clip]. No clamping by default: the loss does it, as in flow_grpo. */
  readonly clip?: number;
  /**
   * Samples left out, such as those that no reward could be had for: their rewards are not looked at, their advantages
   * are 0, and a group without any other is no group.
   */
  readonly dropped?: ArrayLike<boolean>;
}

export interface Advantages {
  /** One number a sample, in the order of the rewards. */
  readonly advantages: Float64Array;
  /** Distinct prompts, i.e. groups. */
  readonly groups: number;
  /** Groups whose rewards are all equal: they say nothing about the policy. */
  readonly zeroVarianceGroups: number;
  /** Mean over groups of the rewards' standard deviation. */
  readonly rewardStd: number;
}

const EPSILON = 1e-4;

/**
 * Per-prompt advantages. Samples with equal `prompts` form a group, wherever they stand. Float64 throughout;
 * standard deviations are the population's.
 *
 * Source: flow_grpo/stat_tracking.py, one `update` after a `clear`.
 *
 * @throws when the lengths differ, when a reward is not finite, or when a `dpo` group has one member.
 */
export function perPromptAdvantages(
  prompts: readonly string[],
  rewards: ArrayLike<number>,
  options: AdvantageOptions = {},
): Advantages {
  const { kind = 'grpo', globalStd = false, clip = Number.POSITIVE_INFINITY, dropped } = options;
  if (prompts.length !== rewards.length) {
    throw new Error(`advantages: ${prompts.length} prompts for ${rewards.length} rewards`);
  }
  const groups = new Map<string, number[]>();
  const decimated = new Set<string>();
  for (const [i, prompt] of prompts.entries()) {
    if (dropped?.[i]) {
      decimated.add(prompt);
      continue;
    }
    if (!Number.isFinite(rewards[i]!)) {
      throw new Error(`advantages: reward ${i} (${JSON.stringify(prompt)}) is ${rewards[i]}`);
    }
    const group = groups.get(prompt);
    if (group) group.push(i);
    else groups.set(prompt, [i]);
  }

  const advantages = new Float64Array(rewards.length);
  const overall = meanAndStd(Float64Array.from(rewards).filter((_, i) => !dropped?.[i])).std;
  let zeroVarianceGroups = 0;
  let stdSum = 0;
  for (const [prompt, members] of groups) {
    const values = Float64Array.from(members, (i) => rewards[i]!);
    const { mean, std } = meanAndStd(values);
    const constant = values.every((value) => value === values[0]);
    const alone = values.length === 1 && decimated.has(prompt);
    stdSum += std;
    if (constant) zeroVarianceGroups++;
    // A constant group's mean can differ from its members by rounding; what it says is exactly nothing. Neither does
    // the last of a group that was dropped: it has nothing to be compared with.
    if ((constant && kind === 'grpo') || (alone && kind !== 'rwr')) continue;
    const judged = judge[kind](values, mean, (globalStd ? overall : std) + EPSILON, prompt);
    for (const [j, i] of members.entries()) {
      advantages[i] = Math.min(clip, Math.max(-clip, judged[j]!));
    }
  }
  return {
    advantages,
    groups: groups.size,
    zeroVarianceGroups,
    rewardStd: groups.size === 0 ? 0 : stdSum / groups.size,
  };
}

const judge: Record<
  AdvantageKind,
  (values: Float64Array, mean: number, scale: number, prompt: string) => ArrayLike<number>
> = {
  grpo: (values, mean, scale) => values.map((value) => (value - mean) / scale),
  rwr: (values) => values,
  sft: (values) => {
    const best = Math.max(...values);
    return values.map((value) => (value === best ? 1 : 0));
  },
  dpo: (values, _mean, _scale, prompt) => {
    if (values.length < 2) {
      throw new Error(`advantages: dpo needs two images a prompt, ${JSON.stringify(prompt)} has one`);
    }
    const best = values.indexOf(Math.max(...values));
    const worst = values.indexOf(Math.min(...values));
    const marks = new Float64Array(values.length);
    marks[best === worst ? 1 : best] = 1;
    marks[best === worst ? 0 : worst] = -1;
    return marks;
  },
};

function meanAndStd(values: Float64Array): { mean: number; std: number } {
  if (values.length === 0) return { mean: 0, std: 0 };
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, std: Math.sqrt(variance) };
}
