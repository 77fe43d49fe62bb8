import { describe, expect, it } from 'vitest';
import { drawPrompts } from './draw-prompts';
import { isConstant, type PromptRecords, promptStatistics, recordPrompts } from './prompt-statistics';

describe('recordPrompts', () => {
  it('keeps the mean and spread of each prompt, and how often it was seen', () => {
    let records = recordPrompts({}, 0, [
      { index: 7, rewards: [0, 1, Number.NaN] },
      { index: 2, rewards: [Number.NaN] },
    ]);
    expect(promptStatistics(records)).toEqual([
      { index: 7, times: 1, reward: 0.5, spread: 0.5, lastEpoch: 0 },
    ]);
    records = recordPrompts(records, 4, [{ index: 7, rewards: [1, 1] }]);
    expect(promptStatistics(records)).toEqual([
      { index: 7, times: 2, reward: 0.75, spread: 0.25, lastEpoch: 4 },
    ]);
    for (let epoch = 5; epoch < 40; epoch++) {
      records = recordPrompts(records, epoch, [{ index: 7, rewards: [2, 2] }]);
    }
    // What was long ago is forgotten.
    expect(promptStatistics(records)[0]!.reward).toBeCloseTo(2, 3);
    expect(JSON.parse(JSON.stringify(records))).toEqual(records);
  });

  it('knows which groups say nothing', () => {
    const groups = [[1, 1], [1, 2], [Number.NaN, 1], [Number.NaN], []];
    expect(groups.map((rewards) => isConstant({ index: 0, rewards }))).toEqual([
      true,
      false,
      true,
      true,
      true,
    ]);
  });
});

describe('drawPrompts', () => {
  const options = { seed: 5, harderMoreOften: 0 };

  it('gives different prompts, the first of them whatever more is asked for', () => {
    for (const harderMoreOften of [0, 1]) {
      const own = { ...options, harderMoreOften };
      const some = drawPrompts({}, 3, 50, 8, own);
      expect(new Set(some).size).toBe(8);
      expect(drawPrompts({}, 3, 50, 32, own).slice(0, 8)).toEqual(some);
      expect(drawPrompts({}, 4, 50, 8, own)).not.toEqual(some);
      expect([...drawPrompts({}, 3, 5, 8, own)].sort()).toEqual([0, 1, 2, 3, 4]);
    }
  });

  it('draws harder prompts more often, and those not seen as often as the mean', () => {
    // Rewards 0.2 and 0.8: one standard deviation below and above their mean.
    const records: PromptRecords = Object.fromEntries(
      Array.from({ length: 20 }, (_, i) => [i, [3, i < 10 ? 0.2 : 0.8, 0.1, 0]] as const),
    );
    const counts = { hard: 0, easy: 0, fresh: 0 };
    const epochs = 4000;
    for (let epoch = 0; epoch < epochs; epoch++) {
      const [index] = drawPrompts(records, epoch, 30, 1, { seed: 1, harderMoreOften: 1 });
      counts[index! < 10 ? 'hard' : index! < 20 ? 'easy' : 'fresh']++;
    }
    const all = Math.E + 1 / Math.E + 1;
    // Four standard errors of a share of 4,000.
    expect(Math.abs(counts.hard / epochs - Math.E / all)).toBeLessThan(0.032);
    expect(Math.abs(counts.easy / epochs - 1 / Math.E / all)).toBeLessThan(0.032);
    expect(Math.abs(counts.fresh / epochs - 1 / all)).toBeLessThan(0.032);
  });

  // The mean of three times 0.1 is not 0.1.
  it.each([0.5, 0.1])('draws all alike while all rewards are, %d', (reward) => {
    const records: PromptRecords = { 0: [1, reward, 0, 0], 1: [1, reward, 0, 0], 2: [1, reward, 0, 0] };
    const counts = [0, 0, 0, 0];
    for (let epoch = 0; epoch < 2000; epoch++)
      counts[drawPrompts(records, epoch, 4, 1, { seed: 1, harderMoreOften: 2 })[0]!]!++;
    for (const count of counts) expect(Math.abs(count / 2000 - 0.25)).toBeLessThan(0.04);
  });
});
