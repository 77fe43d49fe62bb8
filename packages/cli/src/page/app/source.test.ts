import { expect, it } from 'vitest';
import { newsSince } from '../read-run';
import type { RunData } from '../run-data';
import { markOf } from './mark';
import { merged } from './merge';

const run = (rewards: readonly number[], evaluations: readonly number[] = []): RunData => ({
  name: 'run',
  plannedEpochs: 9,
  config: null,
  hacking: null,
  outcome: null,
  metrics: { epoch: rewards.map((_, i) => i), reward: rewards, seconds: rewards.map(() => 1) },
  prompts: [],
  kinds: [],
  evaluations: evaluations.map((epoch) => ({ epoch, reward: epoch, details: {} })),
  histograms: [],
});

it.each([
  ['goes on', run([1, 2], [0]), run([1, 2, 3, 4], [0, 2, 4]), 2],
  ['has an evaluation of the last epoch', run([1, 2], [0]), run([1, 2], [0, 2]), 2],
  ['is rolled back', run([1, 2, 3], [0, 2]), run([1, 7], [0]), 1],
  ['starts anew', run([1, 2, 3], [0, 2]), run([5]), 0],
  ['has not begun', run([]), run([5], [0]), 0],
])('a page that follows a run which %s has all of it', (_, before, after, from) => {
  expect(merged(before, newsSince(after, from))).toEqual(after);
});

it('a number that comes later is missing before', () => {
  const after = run([1, 2]);
  const news = newsSince({ ...after, metrics: { ...after.metrics, kl: [null, 0.5] } }, 1);
  expect(merged(run([1]), news).metrics.kl).toEqual([null, 0.5]);
});

it('a mark tells an epoch from the one that replaced it', () => {
  expect(markOf(run([]))).toBeUndefined();
  expect(markOf(run([1, 2]))).not.toBe(markOf(run([1, 3])));
  expect(markOf(run([1, 2, 3]), 1)).toBe(markOf(run([1, 2])));
});
