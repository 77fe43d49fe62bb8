/** What a run's numbers say at a glance: is it learning, is it being hacked, how much longer. */
import type { Tone } from '@flow-grpo/page-components/frame';
import { duration, figure, plural, signed } from '@flow-grpo/page-components/numbers';
import { isCompared, watchOptions } from '../run-config';
import type { RunData } from '../run-data';

export interface Insight {
  readonly tone: Tone;
  /** Two or three words. */
  readonly verdict: string;
  /** One sentence with the figures. */
  readonly because: string;
}

type Column = readonly (number | null)[];

/** The mean and the standard error of some values. */
interface Level {
  readonly mean: number;
  readonly error: number;
}

const finite = (values: Column): number[] => values.filter((value): value is number => value !== null);

function level(values: readonly number[]): Level {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0;
  return { mean, error: deviation / Math.sqrt(values.length) };
}

/** Epochs at either end that are compared: a tenth, from 2 to 20. */
const endOf = (count: number) => Math.max(2, Math.min(20, Math.round(count / 10)));

/** A change is told from chance where it is so many standard errors. */
const CLEAR = 3;

/**
 * First and last level of a column and how clearly they differ; undefined for fewer than four values.
 *
 * @returns `clear`: the difference in standard errors, with its sign; infinite for values that do not scatter.
 */
export function changeOf(values: Column): { first: Level; last: Level; clear: number } | undefined {
  const known = finite(values);
  if (known.length < 4) return undefined;
  const count = endOf(known.length);
  const [first, last] = [level(known.slice(0, count)), level(known.slice(-count))];
  const difference = last.mean - first.mean;
  const error = Math.hypot(first.error, last.error);
  const clear =
    difference === 0
      ? 0
      : error === 0
        ? Math.sign(difference) * Number.POSITIVE_INFINITY
        : difference / error;
  return { first, last, clear };
}

/** Whether the reward rises, by its first and last epochs. */
export function learning(run: RunData): Insight {
  const reward = run.metrics.reward ?? [];
  const change = changeOf(reward);
  if (!change) {
    return {
      tone: 'plain',
      verdict: 'Too early',
      because: `${plural(finite(reward).length, 'epoch')} so far; four are needed to tell.`,
    };
  }
  const { first, last, clear } = change;
  const figures = `Reward ${figure(first.mean)} → ${figure(last.mean)} (${signed(last.mean - first.mean)})${evaluated(run)}.`;
  const best = bestLevel(finite(reward));
  const lost = best.mean - last.mean;
  const gained = best.mean - first.mean;
  if (gained > 0 && lost > CLEAR * Math.hypot(best.error, last.error) && lost > 0.25 * gained) {
    return {
      tone: 'warn',
      verdict: 'Past its best',
      because: `${figures} It was at ${figure(best.mean)} before.`,
    };
  }
  if (clear >= CLEAR) return { tone: 'good', verdict: 'Learning', because: figures };
  if (clear <= -CLEAR) return { tone: 'bad', verdict: 'Getting worse', because: figures };
  return { tone: 'plain', verdict: 'No clear change', because: figures };
}

/** The highest level of any stretch of epochs. */
function bestLevel(values: readonly number[]): Level {
  const count = endOf(values.length);
  let best = level(values.slice(0, count));
  for (let at = count; at + count <= values.length; at += count) {
    const here = level(values.slice(at, at + count));
    if (here.mean > best.mean) best = here;
  }
  return best;
}

function evaluated({ evaluations }: RunData): string {
  const rewards = finite(evaluations.map(({ reward }) => reward));
  if (rewards.length < 2) return '';
  return `; held-out ${figure(rewards[0]!)} → ${figure(rewards.at(-1)!)}`;
}

/** Whether the reward is being hacked. */
export function hacking({ hacking: signs, metrics, config }: RunData): Insight {
  if (signs === null) {
    return { tone: 'plain', verdict: 'Not watched', because: 'This run has no image statistics.' };
  }
  if (signs.length > 0)
    return { tone: 'warn', verdict: 'Look at the images', because: signs.map(sentence).join(' ') };
  const options = watchOptions(config);
  if (!isCompared(metrics.epoch!.length, options)) {
    const { window } = options;
    const because = `After ${2 * window} epochs, the last ${window} are compared with the first ${window}.`;
    return { tone: 'plain', verdict: 'Too early to say', because };
  }
  const because = 'No statistic drifted far while the reward rose.';
  return { tone: 'good', verdict: 'No sign of it', because };
}

const sentence = (sign: string) => `${sign.charAt(0).toUpperCase()}${sign.slice(1)}.`;

/** How long the rest takes, by the epochs before. */
export function remaining(run: RunData, over = false): Insight {
  const seconds = finite(run.metrics.seconds ?? []);
  const done = run.metrics.epoch?.length ?? 0;
  const total = seconds.reduce((a, b) => a + b, 0);
  // The first epoch compiles.
  const steady = (seconds.length > 1 ? seconds.slice(1) : seconds).slice(-10);
  const each = level(steady).mean;
  const pace = steady.length > 0 ? `${duration(each)} per epoch` : '';
  const spent = `${plural(done, 'epoch')} in ${duration(total)}`;
  const ended = run.outcome && ENDINGS[run.outcome.reason];
  if (ended) return { ...ended, because: run.outcome!.problem ?? `${spent}, ${pace}.` };
  const left = run.plannedEpochs === null ? undefined : Math.max(0, run.plannedEpochs - done);
  if (left === 0) return { tone: 'good', verdict: 'Finished', because: `${spent}, ${pace}.` };
  if (over) return { tone: 'plain', verdict: 'Ended', because: `${spent}, ${pace}.` };
  if (left === undefined || steady.length === 0) {
    return {
      tone: 'plain',
      verdict: 'Not known yet',
      because: done > 0 ? `${spent}, ${pace}.` : 'No epoch has finished yet.',
    };
  }
  return {
    tone: 'plain',
    verdict: duration(left * each),
    because: `${done} of ${plural(run.plannedEpochs!, 'epoch')}, ${pace}.`,
  };
}

/** What is said of runs that ended before their last epoch; one that finished may have been given more epochs since. */
const ENDINGS: Readonly<Record<string, Pick<Insight, 'tone' | 'verdict'>>> = {
  interrupted: { tone: 'plain', verdict: 'Interrupted' },
  diverged: { tone: 'bad', verdict: 'Diverged' },
  hacked: { tone: 'bad', verdict: 'Stopped: hacked' },
  failed: { tone: 'bad', verdict: 'Failed' },
};

/** The epoch's phases by their names among its numbers. */
export const PHASES: Readonly<Record<string, string>> = {
  secondsRollout: 'drawing images',
  secondsReward: 'waiting for rewards',
  secondsUpdate: 'updating weights',
};

/** Means per epoch of each phase, the first epoch, which compiles, left out. */
export function phaseMeans(run: RunData): { name: string; seconds: number; share: number }[] {
  const means = Object.entries(PHASES).flatMap(([key, name]) => {
    const values = finite(run.metrics[key] ?? []);
    const steady = values.length > 1 ? values.slice(1) : values;
    return steady.length > 0 ? [{ name, seconds: level(steady).mean }] : [];
  });
  const total = means.reduce((sum, { seconds }) => sum + seconds, 0);
  return means.map((phase) => ({ ...phase, share: total > 0 ? phase.seconds / total : 0 }));
}

/**
 * Exponential smoothing from both ends, so that it neither lags nor leads; `weight` 0 leaves values as they are, null stays
 * null.
 */
export function smoothed(values: Column, weight: number): (number | null)[] {
  // Rounding would show in a line that has its chart to itself.
  if (new Set(finite(values)).size < 2) return [...values];
  const forward = smoothedForward(values, weight);
  const backward = smoothedForward([...values].reverse(), weight).reverse();
  return forward.map((value, i) => (value === null ? null : (value + backward[i]!) / 2));
}

function smoothedForward(values: Column, weight: number): (number | null)[] {
  let sum = 0;
  let mass = 0;
  return values.map((value) => {
    if (value === null) return null;
    sum = weight * sum + (1 - weight) * value;
    mass = weight * mass + (1 - weight);
    return sum / mass;
  });
}
