/** Notices a reward that rises because images drift to something else than was meant. Pure: numbers in, words out. */

export interface HackingOptions {
  /** Epochs that the start is a mean over, and as many that now is. */
  readonly window: number;
  /** Factor on how far a statistic may drift. */
  readonly tolerance: number;
}

/** Mean and standard deviation over the first epochs. */
interface Level {
  readonly mean: number;
  readonly std: number;
}

/** What the watch remembers from epoch to epoch; part of a checkpoint. */
export interface HackingState {
  /** The first epochs' statistics, until there are enough of them; the reward is one. */
  readonly first: Readonly<Record<string, readonly number[]>>;
  /** Those of the last epochs. */
  readonly recent: Readonly<Record<string, readonly number[]>>;
  /** Symptoms that were named already. */
  readonly told: readonly string[];
  /** Epochs after which no statistic had drifted by half of what is far. */
  readonly calmEpochs: number;
}

export const initialHackingState: HackingState = { first: {}, recent: {}, told: [], calmEpochs: 0 };

export interface HackingVerdict {
  readonly state: HackingState;
  /** What drifted, in words; only what was not named before. */
  readonly problem?: string;
  /** Epochs after which all was well. */
  readonly goodEpochs?: number;
}

/** A way in which images or the model drift, and when it is far. */
interface Symptom {
  readonly statistic: string;
  /** What one sees. */
  readonly words: string;
  /** 1 is far: from the start's and the present mean. */
  drift(start: number, now: number): number;
  readonly show: (value: number) => string;
}

const percent = (value: number) => `${(100 * value).toPrecision(2)} %`;
const plain = (value: number) => value.toPrecision(3);

/** A share that grows: by 2 points and to 3 times the start, or by 20 points whatever it was. */
const takesOver = (start: number, now: number) =>
  Math.max(Math.min((now - start) / 0.02, now / (3 * Math.max(start, 1e-4))), (now - start) / 0.2);
const rises = (by: number) => (start: number, now: number) => (now - start) / by;
const falls = (by: number) => (start: number, now: number) => (start - now) / by;
const grows = (factor: number) => (start: number, now: number) =>
  start > 0 ? Math.log(now / start) / Math.log(factor) : 0;
const shrinks = (factor: number) => (start: number, now: number) =>
  start > 0 ? Math.log(start / Math.max(now, 1e-12)) / Math.log(factor) : 0;

/**
 * How far each may drift. Learning what prompts ask for changes these, too: the limits are above what a good run does and below
 * what a bad one does. On the quickstart, near-black pixels are 0.4 % at the start, 1.3 % in a good run's end (18 % of the
 * shapes whose colour is free are black) and 4.5 % in a run too long (64 %).
 */
const SYMPTOMS: readonly Symptom[] = [
  symptom('images.nearBlack', 'near-black pixels take over', takesOver, percent),
  symptom('images.nearWhite', 'near-white pixels take over', takesOver, percent),
  symptom('images.brightness', 'images grow dark', falls(0.12), percent),
  symptom('images.brightness', 'images grow bright', rises(0.12), percent),
  symptom('images.edgeDensity', 'edges fill the images', grows(2), percent),
  symptom('images.edgeDensity', 'edges vanish: images grow flat', shrinks(2), percent),
  symptom('images.sharpness', 'images grow grainy or over-sharp', grows(2), plain),
  symptom('images.sharpness', 'images grow blurred or flat', shrinks(2), plain),
  symptom('images.colorEntropy', 'few colours are left', shrinks(1.6), plain),
  symptom('images.diversity', "a prompt's images grow alike", shrinks(1.6), plain),
  symptom('velocityNorm', 'velocities grow longer than those of the start', grows(1.5), plain),
  symptom('velocityNorm', 'velocities grow shorter than those of the start', shrinks(1.5), plain),
];

function symptom(statistic: string, words: string, drift: Symptom['drift'], show: Symptom['show']): Symptom {
  return { statistic, words, drift, show };
}

/** The statistics that are watched, by the names that they have among an epoch's metrics. */
const WATCHED = ['reward', ...new Set(SYMPTOMS.map(({ statistic }) => statistic))];

/** A mean must differ by so many of its standard errors. */
const SIGNIFICANT = 4;
/** The least rise of the reward that counts, in standard deviations of the images' rewards. */
const RISE = 0.1;

/**
 * The state after an epoch, and what is wrong, if something is: a statistic whose mean over the last epochs is far from that
 * over the first ones, while the reward's rose. What is not among the numbers, or not finite, is not looked at.
 *
 * @param metrics the epoch's: `reward`, `rewardStd`, `images.…`, `velocityNorm`
 */
export function checkHacking(
  state: HackingState,
  epoch: number,
  metrics: Readonly<Record<string, number>>,
  { window, tolerance }: HackingOptions,
): HackingVerdict {
  const seen = WATCHED.filter((name) => Number.isFinite(metrics[name]));
  const first = { ...state.first };
  const recent = { ...state.recent };
  for (const name of seen) {
    const begun = first[name] ?? [];
    if (begun.length < window) first[name] = [...begun, metrics[name]!];
    else recent[name] = [...(recent[name] ?? []), metrics[name]!].slice(-window);
  }
  const known = (name: string) => recent[name]?.length === window;
  const levels = (name: string) => [levelOf(first[name]!), levelOf(recent[name]!)] as const;
  let { calmEpochs } = state;
  const next = () => ({ first, recent, told: state.told, calmEpochs });
  if (!known('reward')) return { state: { ...next(), calmEpochs: epoch + 1 } };
  const drifts = SYMPTOMS.filter(({ statistic }) => known(statistic)).map((each) => {
    const [start, now] = levels(each.statistic);
    const significant = Math.abs(now.mean - start.mean) > SIGNIFICANT * errorOf(start, now, window);
    return { ...each, start, now, far: significant ? each.drift(start.mean, now.mean) / tolerance : 0 };
  });
  if (drifts.every(({ far }) => far < 0.5)) calmEpochs = epoch + 1;
  const [start, now] = levels('reward');
  const least = Math.max(SIGNIFICANT * errorOf(start, now, window), RISE * (metrics.rewardStd ?? 0));
  const found = drifts.filter(({ far, words }) => far >= 1 && !state.told.includes(words));
  if (found.length === 0 || now.mean - start.mean <= least) return { state: next() };
  const seenWords = found.map(
    ({ words, statistic, start, now, show }) =>
      `${words} (${statistic} went from ${show(start.mean)} to ${show(now.mean)})`,
  );
  return {
    state: { ...next(), told: [...state.told, ...found.map(({ words }) => words)] },
    goodEpochs: calmEpochs,
    problem: `epoch ${epoch}: while the reward rose from ${plain(start.mean)} to ${plain(now.mean)}, ${seenWords.join('; ')}`,
  };
}

/**
 * What the watch would have said of a run, from the metrics of its epochs.
 *
 * @throws {Error} when there is none of the statistics among them.
 */
export function detectHacking(
  epochs: readonly (Readonly<Record<string, number>> & { readonly epoch: number })[],
  options: HackingOptions,
): string[] {
  if (!epochs.some((metrics) => WATCHED.some((name) => name !== 'reward' && name in metrics))) {
    throw new Error('these metrics hold no images.…: the run was made with hacking.action off');
  }
  const problems: string[] = [];
  let state = initialHackingState;
  for (const metrics of epochs) {
    const verdict = checkHacking(state, metrics.epoch, metrics, options);
    state = verdict.state;
    if (verdict.problem !== undefined) problems.push(verdict.problem);
  }
  return problems;
}

function levelOf(values: readonly number[]): Level {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, std: Math.sqrt(variance / Math.max(1, values.length - 1)) };
}

/** The standard error of the difference of two means. */
const errorOf = (a: Level, b: Level, count: number) => Math.sqrt((a.std ** 2 + b.std ** 2) / count);
