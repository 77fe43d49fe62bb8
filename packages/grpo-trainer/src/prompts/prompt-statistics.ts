/** What is known of each prompt from the images that were drawn for it. Pure; part of a run's state. */

/** [times seen, reward, spread, last epoch] of a prompt by its index; see `PromptStatistics`. */
export type PromptRecords = Readonly<Record<number, readonly [number, number, number, number]>>;

export interface PromptStatistics {
  /** Place in the list of prompts. */
  readonly index: number;
  /** Epochs in which images were drawn for it, those left out for their equal rewards included. */
  readonly times: number;
  /** Mean reward of its images, and their standard deviation: moving means over about the last five times. */
  readonly reward: number;
  readonly spread: number;
  /** When it was seen last. */
  readonly lastEpoch: number;
}

/** The rewards of the images of a prompt; NaN for dropped ones. */
export interface PromptGroup {
  readonly index: number;
  readonly rewards: readonly number[];
}

/** What the last time counts at least. */
const RECENT = 0.2;

/** The records after an epoch; groups without any reward leave theirs as it is. */
export function recordPrompts(
  records: PromptRecords,
  epoch: number,
  groups: readonly PromptGroup[],
): PromptRecords {
  const next: Record<number, readonly [number, number, number, number]> = { ...records };
  for (const { index, rewards } of groups) {
    const known = rewards.filter(Number.isFinite);
    if (known.length === 0) continue;
    const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
    const std = Math.sqrt(known.reduce((sum, value) => sum + (value - mean) ** 2, 0) / known.length);
    const [times, reward, spread] = next[index] ?? [0, 0, 0];
    const share = Math.max(1 / (times + 1), RECENT);
    next[index] = [times + 1, reward + share * (mean - reward), spread + share * (std - spread), epoch];
  }
  return next;
}

/** The records by name, in the order of the prompts. */
export const promptStatistics = (records: PromptRecords): PromptStatistics[] =>
  Object.entries(records).map(([index, [times, reward, spread, lastEpoch]]) => ({
    ...{ index: Number(index), times, reward, spread, lastEpoch },
  }));

/** Whether the rewards of a group say nothing about the policy: all equal, or fewer than two. */
export function isConstant({ rewards }: PromptGroup): boolean {
  const known = rewards.filter(Number.isFinite);
  return known.every((value) => value === known[0]);
}
