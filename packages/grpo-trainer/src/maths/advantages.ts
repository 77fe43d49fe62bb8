/** Rewards of a group of images for one prompt → how much better than its siblings each image is. */

/** The rewards that images of one group got, those left out aside. */
export interface RewardGroup {
  readonly prompt: string;
  readonly rewards: Float64Array;
  readonly mean: number;
  /** Population standard deviation: of the group, or of all rewards with `globalStd`. */
  readonly std: number;
  /** Whether all rewards are equal: they say nothing about the policy. */
  readonly constant: boolean;
  /** Whether the group was larger and one image is left, which has nothing to be compared with. */
  readonly alone: boolean;
}

/** What the members of a group are worth, one number each in the order of the rewards. */
export type Comparison = (group: RewardGroup) => ArrayLike<number>;

export interface AdvantageOptions {
  /** {@link standardScore} by default. */
  readonly compare?: Comparison;
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
  /** One number per sample, in the order of the rewards. */
  readonly advantages: Float64Array;
  /** Distinct prompts, i.e. groups. */
  readonly groups: number;
  /** Groups whose rewards are all equal: they say nothing about the policy. */
  readonly zeroVarianceGroups: number;
  /** Mean over groups of the rewards' standard deviation. */
  readonly rewardStd: number;
}

const EPSILON = 1e-4;

/** (reward − group mean) / (standard deviation + 1e-4); 0 for a constant group. */
export const standardScore: Comparison = ({ rewards, mean, std, constant }) =>
  // A constant group's mean can differ from its members by rounding; what it says is exactly nothing.
  constant ? zeros(rewards) : rewards.map((reward) => (reward - mean) / (std + EPSILON));

/** The reward itself. */
export const rawReward: Comparison = ({ rewards }) => rewards;

/** 1 for every member that has the group's best reward, else 0. */
export const bestOfGroup: Comparison = ({ rewards, alone }) => {
  if (alone) return zeros(rewards);
  const best = Math.max(...rewards);
  return rewards.map((reward) => (reward === best ? 1 : 0));
};

/**
 * +1 for the first best, −1 for the first worst, else 0; a constant group gets −1, +1 on its first two.
 *
 * @throws when a group has one member.
 */
export const bestAgainstWorst: Comparison = ({ rewards, alone, prompt }) => {
  const marks = zeros(rewards);
  if (alone) return marks;
  if (rewards.length < 2) {
    throw new Error(`advantages: dpo needs two images per prompt, ${JSON.stringify(prompt)} has one`);
  }
  const best = rewards.indexOf(Math.max(...rewards));
  const worst = rewards.indexOf(Math.min(...rewards));
  marks[best === worst ? 1 : best] = 1;
  marks[best === worst ? 0 : worst] = -1;
  return marks;
};

/**
 * Per-prompt advantages. Samples with equal `prompts` form a group, wherever they stand. Float64 throughout;
 * standard deviations are the population's.
 *
 * Source: flow_grpo/stat_tracking.py, one `update` after a `clear`.
 *
 * @throws when the lengths differ, when a reward is not finite, and what the comparison throws.
 */
export function perPromptAdvantages(
  prompts: readonly string[],
  rewards: ArrayLike<number>,
  options: AdvantageOptions = {},
): Advantages {
  const { compare = standardScore, globalStd = false, clip = Number.POSITIVE_INFINITY, dropped } = options;
  if (prompts.length !== rewards.length) {
    throw new Error(`advantages: ${prompts.length} prompts for ${rewards.length} rewards`);
  }
  const groups = new Map<string, number[]>();
  const reduced = new Set<string>();
  for (const [i, prompt] of prompts.entries()) {
    if (dropped?.[i]) {
      reduced.add(prompt);
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
    stdSum += std;
    if (constant) zeroVarianceGroups++;
    const worth = compare({
      prompt,
      rewards: values,
      mean,
      std: globalStd ? overall : std,
      constant,
      alone: values.length === 1 && reduced.has(prompt),
    });
    for (const [j, i] of members.entries()) {
      advantages[i] = Math.min(clip, Math.max(-clip, worth[j]!));
    }
  }
  return {
    advantages,
    groups: groups.size,
    zeroVarianceGroups,
    rewardStd: groups.size === 0 ? 0 : stdSum / groups.size,
  };
}

const zeros = ({ length }: Float64Array) => new Float64Array(length);

function meanAndStd(values: Float64Array): { mean: number; std: number } {
  if (values.length === 0) return { mean: 0, std: 0 };
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, std: Math.sqrt(variance) };
}
