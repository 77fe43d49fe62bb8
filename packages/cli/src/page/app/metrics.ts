/** What the numbers of an epoch are called and mean. */

export interface MetricText {
  readonly title: string;
  readonly note?: string;
}

/** Numbers with a chart of their own, in their order; the others stand below them under their own names. */
export const METRICS: Readonly<Record<string, MetricText>> = {
  kl: { title: 'KL to the reference', note: 'How far the model is from where it started' },
  approxKl: { title: 'Approximate KL of an epoch', note: '½ · mean (log ratio)²' },
  clipFraction: { title: 'Clipped ratios', note: 'Share outside the clip range' },
  loss: { title: 'Loss' },
  gradNorm: { title: 'Gradient norm', note: 'Before clipping' },
  groupRewardStd: {
    title: 'Spread within a prompt',
    note: 'Standard deviation of the rewards of one prompt',
  },
  zeroVarianceShare: {
    title: 'Prompts with equal rewards',
    note: 'Share whose images all score the same: nothing to learn from',
  },
  advantageAbsMean: { title: 'Mean absolute advantage' },
  learningRate: { title: 'Learning rate' },
  samplesPerSecond: { title: 'Images per second' },
  mfu: { title: 'Model FLOPs utilisation' },
};

/** Columns that count or that other parts of the page show. */
const ELSEWHERE =
  /^(epoch|updates|samples|reward|windowStart|seconds\w*)$|^reward\.|^images\.|^velocity(Norm|Change|Kl)$|\.\d+\.(mean|p99)$/;

/** Names of the numbers that runs have besides, sorted. */
export function otherMetrics(names: Iterable<string>): string[] {
  return [...new Set(names)].filter((name) => !ELSEWHERE.test(name) && !Object.hasOwn(METRICS, name)).sort();
}

/** The parts of a reward, by the names they have among an epoch's numbers. */
export const rewardParts = (names: Iterable<string>) =>
  [...new Set(names)].filter((name) => name.startsWith('reward.')).sort();
