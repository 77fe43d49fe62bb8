import { detectHacking } from '@flow-grpo/grpo-trainer';
import { duration, figure } from '@flow-grpo/page-components/numbers';
import { describe, expect, it } from 'vitest';
import type { RunData } from '../run-data';
import { hacking, learning, phaseMeans, remaining, smoothed } from './insight';
import { smoothedLines } from './lines';

const run = (metrics: RunData['metrics'], more: Partial<RunData> = {}): RunData => ({
  name: 'run',
  plannedEpochs: null,
  config: null,
  hacking: null,
  outcome: null,
  metrics: { epoch: (metrics.reward ?? metrics.seconds ?? []).map((_, i) => i), ...metrics },
  prompts: [],
  kinds: [],
  evaluations: [],
  histograms: [],
  ...more,
});

/** A line with a ripple that no chance plays in. */
const rewards = (count: number, at: (share: number) => number) =>
  Array.from({ length: count }, (_, i) => at(i / (count - 1)) + 0.02 * (-1) ** i);

describe('smoothedLines', () => {
  const line = (label: string, y: number[]) => ({ label, x: [0, 1, 2], y, color: '--run-0' });

  it('lie over what was measured of all of them', () => {
    const lines = smoothedLines([line('step 1', [0, 1, 0]), line('step 2', [1, 0, 1])], 0.9);
    expect(lines.map(({ label, faint = false }) => [label, faint])).toEqual([
      ['step 1', true],
      ['step 2', true],
      ['step 1', false],
      ['step 2', false],
    ]);
    expect(lines[0]!.y).toEqual([0, 1, 0]);
    expect(lines[2]!.y[1]).toBeLessThan(0.6);
  });

  it('are the lines themselves without smoothing', () => {
    expect(smoothedLines([line('a', [0, 1, 0])], 0)).toEqual([line('a', [0, 1, 0])]);
  });
});

describe('learning', () => {
  it.each([
    ['Learning', rewards(50, (t) => 0.2 + 0.5 * t)],
    ['Getting worse', rewards(50, (t) => 0.7 - 0.5 * t)],
    ['No clear change', rewards(50, () => 0.5)],
    ['No clear change', new Array<number>(50).fill(0.5)],
    ['Past its best', rewards(100, (t) => 0.2 + 0.6 * Math.sin(Math.PI * Math.min(1, t * 0.8)))],
    ['Too early', [0.1, 0.9, null]],
  ])('says %s', (verdict, reward) => {
    expect(learning(run({ reward })).verdict).toBe(verdict);
  });

  it('gives the figures, those of held-out prompts too', () => {
    const evaluations = [0.25, 0.75].map((reward, epoch) => ({ epoch, reward, details: {} }));
    const { because } = learning(run({ reward: [0, 0, 0, 0, 1, 1, 1, 1] }, { evaluations }));
    expect(because).toBe('Reward 0 → 1 (+1); held-out 0.25 → 0.75.');
  });
});

describe('remaining', () => {
  const seconds = [100, ...new Array<number>(9).fill(2)];

  it('leaves the first epoch out, which compiles', () => {
    const { verdict, because } = remaining(run({ seconds }, { plannedEpochs: 40 }));
    expect(verdict).toBe('1 min 0 s');
    expect(because).toBe('10 of 40 epochs, 2 s per epoch.');
  });

  it.each([
    ['Finished', 10, false],
    ['Ended', 40, true],
    ['Not known yet', null, false],
  ] as const)('says %s', (verdict, plannedEpochs, over) => {
    expect(remaining(run({ seconds }, { plannedEpochs }), over).verdict).toBe(verdict);
  });
});

it('says how a run ended before its last epoch, and why', () => {
  const seconds = [4, 2, 2];
  const of = (outcome: RunData['outcome']) => remaining(run({ seconds }, { plannedEpochs: 40, outcome }));
  const problem = 'epoch 3: the loss is NaN';
  expect(of({ reason: 'diverged', problem })).toEqual({ tone: 'bad', verdict: 'Diverged', because: problem });
  expect(of({ reason: 'failed', problem })).toMatchObject({ tone: 'bad', verdict: 'Failed' });
  expect(of({ reason: 'hacked', problem })).toMatchObject({ tone: 'bad', verdict: 'Stopped: hacked' });
  expect(of({ reason: 'interrupted' })).toMatchObject({
    verdict: 'Interrupted',
    because: '3 epochs in 8 s, 2 s per epoch.',
  });
  expect(of({ reason: 'finished' }).verdict).toBe('1 min 14 s'); // and was given more epochs
});

it('shares the time of an epoch among its phases', () => {
  const metrics = {
    seconds: [9, 4, 4],
    secondsRollout: [8, 1, 1],
    secondsReward: [0, 0, 0],
    secondsUpdate: [1, 3, 3],
  };
  expect(phaseMeans(run(metrics)).map(({ share }) => share)).toEqual([0.25, 0, 0.75]);
});

describe('smoothed', () => {
  it('keeps constants and gaps, and does not lag behind a line', () => {
    expect(smoothed([1, null, 1, 1], 0.9)).toEqual([1, null, 1, 1]);
    const line = Array.from({ length: 101 }, (_, i) => i);
    expect(smoothed(line, 0.9)[50]).toBeCloseTo(50, 6);
    expect(smoothed(line, 0)).toEqual(line);
  });
});

it.each([
  [0.4321, '0.43 s'],
  [59.7, '1 min 0 s'],
  [7260, '2 h 1 min'],
  [10_800, '3 h'],
  [200_000, '2 d 7 h'],
])('%d seconds are %s', (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

it.each([
  [0.123456, '0.1235'],
  [0, '0'],
  [1e-5, '1.00e-5'],
  [12_345_678, '1.23e+7'],
  [null, '–'],
])('%d is shown as %s', (value, text) => {
  expect(figure(value)).toBe(text);
});

describe('whether the reward is being hacked', () => {
  const options = { window: 3, tolerance: 1 };
  /** What is said after so many epochs in which near-black pixels and the reward grow by these. */
  function said(epochs: number, black: number, gain: number) {
    const metrics = Array.from({ length: epochs }, (_, epoch) => ({
      ...{ epoch, reward: 0.5 + gain * epoch, rewardStd: 0.1 },
      'images.nearBlack': 0.004 + black * epoch,
    }));
    const column = (name: 'reward' | 'images.nearBlack') => metrics.map((each) => each[name]);
    const columns = { reward: column('reward'), 'images.nearBlack': column('images.nearBlack') };
    const config = JSON.stringify({ hacking: options });
    return hacking(run(columns, { config, hacking: detectHacking(metrics, options) }));
  }

  it('is not known before two windows of epochs, nor without statistics', () => {
    expect(said(2 * options.window - 1, 0.1, 0.1)).toMatchObject({ verdict: 'Too early to say' });
    expect(hacking(run({ reward: [1] }))).toMatchObject({ verdict: 'Not watched' });
  });

  it('is said where images drift while the reward rises', () => {
    expect(said(20, 0.01, 0.05)).toMatchObject({
      tone: 'warn',
      because: expect.stringMatching(/^Epoch \d+: while the reward rose .*near-black pixels take over/),
    });
  });

  it.each([
    ['images stay as they were', 0, 0.05],
    ['images drift and the reward does not rise', 0.01, 0],
  ])('is denied, with no more than that, where %s', (_, black, gain) => {
    expect(said(20, black, gain)).toEqual({
      tone: 'good',
      verdict: 'No sign of it',
      because: 'No statistic drifted far while the reward rose.',
    });
  });
});
