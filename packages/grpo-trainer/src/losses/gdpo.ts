/** Advantages of several rewards: each normalised on its own (GDPO), or their weighted sum. Float64 on the host. */

export interface RewardAdvantageOptions {
  /**
   * 'gdpo': each reward is normalised within its group, weighted and added, then all are normalised over the batch.
   * 'sum': the weighted sum of the rewards is normalised.
   */
  readonly aggregation: 'gdpo' | 'sum';
  /** The standard deviation that 'sum' divides by: that of the sample's group (default), or of all samples. */
  readonly std?: 'group' | 'all';
}

const LEAST_STD = 1e-6;

/**
 * One advantage for each sample of a batch with several rewards. A group of one, or one in which a reward is constant, says
 * nothing about that reward: exactly 0. A reward that is not finite makes what depends on it NaN: the batch under 'gdpo' and
 * under 'sum' with the deviation of all, the group otherwise.
 *
 * Source: GDPO (arXiv 2601.05242); X-GenGroup/Flow-Factory src/flow_factory/advantage/advantage_processor.py. Upstream
 * computes in float32, where the mean of a constant group can be a whole standard deviation off.
 *
 * @param groups the group of each sample; groups may stand in any order
 * @param rewards one number for each sample by reward
 * @param weights one number by reward
 * @throws {Error} when lengths differ, a weight is missing or without a reward
 */
export function rewardAdvantages(
  groups: readonly (string | number)[],
  rewards: Readonly<Record<string, ArrayLike<number>>>,
  weights: Readonly<Record<string, number>>,
  { aggregation, std = 'group' }: RewardAdvantageOptions,
): Float64Array {
  const names = Object.keys(rewards);
  for (const name of names) {
    if (rewards[name]!.length !== groups.length) {
      throw new Error(
        `advantages: ${rewards[name]!.length} values of reward ${name} for ${groups.length} samples`,
      );
    }
    if (weights[name] === undefined) throw new Error(`advantages: reward ${name} has no weight`);
  }
  for (const name of Object.keys(weights)) {
    if (!names.includes(name)) throw new Error(`advantages: weight ${name} has no reward`);
  }
  const members = membersOf(groups);
  const sum = new Float64Array(groups.length);
  if (aggregation === 'sum') {
    for (const name of names) addScaled(sum, Float64Array.from(rewards[name]!), weights[name]!);
    return withinGroups(sum, members, std === 'all' ? deviation(sum) : undefined);
  }
  for (const name of names) {
    addScaled(sum, withinGroups(Float64Array.from(rewards[name]!), members), weights[name]!);
  }
  return normalised(sum);
}

function membersOf(groups: readonly (string | number)[]): number[][] {
  const members = new Map<string | number, number[]>();
  for (const [i, group] of groups.entries()) {
    const found = members.get(group);
    if (found) found.push(i);
    else members.set(group, [i]);
  }
  return [...members.values()];
}

/** (value − group mean) / max(std, 1e-6), the group's deviation unless one is given. */
function withinGroups(values: Float64Array, members: readonly number[][], std?: number): Float64Array {
  const result = new Float64Array(values.length);
  for (const group of members) {
    const own = normalised(
      Float64Array.from(group, (i) => values[i]!),
      std,
    );
    for (const [j, i] of group.entries()) result[i] = own[j]!;
  }
  return result;
}

/** (value − mean) / max(std, 1e-6). Equal values are 0, whatever rounding makes of their mean. */
function normalised(values: Float64Array, std = deviation(values)): Float64Array {
  const mean = meanOf(values);
  const scale = Number.isNaN(std) ? Number.NaN : Math.max(std, LEAST_STD);
  const constant = values.every((value) => value === values[0]);
  return values.map((value) => (constant && Number.isFinite(scale) ? 0 : (value - mean) / scale));
}

const meanOf = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The population's. */
function deviation(values: Float64Array): number {
  const mean = meanOf(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}

function addScaled(sum: Float64Array, values: Float64Array, weight: number): void {
  for (const [i, value] of values.entries()) sum[i]! += weight * value;
}
