import { fixtureCases, readJson } from '@flow-grpo/test-support';
import { describe, expect, it } from 'vitest';
import { rewardAdvantages } from './gdpo';

interface Case {
  rewards: string;
  weights: Record<string, number>;
  aggregation: 'gdpo' | 'sum';
  std?: 'all rewards' | 'group';
  group: number[];
  values: Record<string, (number | null)[]>;
  advantages: (number | null)[];
}

describe.each(fixtureCases('objective-gdpo'))('$name', ({ dir }) => {
  const { cases } = readJson<{ cases: Case[] }>(dir, 'advantages.json');
  const label = (c: Case) =>
    `${c.rewards}, ${c.aggregation} ${c.std ?? ''}, ${Object.values(c.weights).join(' ')}`;

  it.each(cases.map((c) => [label(c), c] as const))('%s', (_, c) => {
    const rewards = Object.fromEntries(
      Object.entries(c.values).map(([name, values]) => [name, values.map((value) => value ?? Number.NaN)]),
    );
    const advantages = rewardAdvantages(c.group, rewards, c.weights, {
      aggregation: c.aggregation,
      ...(c.std && { std: c.std === 'group' ? 'group' : 'all' }),
    });
    expect(advantages).toHaveLength(c.advantages.length);
    for (const [i, expected] of c.advantages.entries()) {
      if (expected === null) expect(advantages[i]).toBeNaN();
      else expect(Math.abs(advantages[i]! - expected), `sample ${i}`).toBeLessThan(1e-8);
    }
  });
});

describe('rewards and weights that do not fit', () => {
  const options = { aggregation: 'gdpo' } as const;
  it.each([
    [{ a: [1, 2, 3] }, { a: 1 }, /3 values of reward a for 2 samples/],
    [{ a: [1, 2] }, {}, /reward a has no weight/],
    [{ a: [1, 2] }, { a: 1, b: 1 }, /weight b has no reward/],
  ])('%j with %j', (rewards, weights, message) => {
    expect(() => rewardAdvantages([0, 0], rewards, weights as Record<string, number>, options)).toThrow(
      message,
    );
  });

  it('groups of different sizes pass', () => {
    // Standard scores of two and of three samples; over the batch their mean is 0 and their deviation 1 already.
    const expected = [-1, 1, -Math.sqrt(1.5), 0, Math.sqrt(1.5)];
    const advantages = rewardAdvantages([0, 0, 1, 1, 1], { only: [1, 2, 1, 2, 3] }, { only: 1 }, options);
    for (const [i, value] of expected.entries()) expect(advantages[i]).toBeCloseTo(value, 12);
  });

  it('a constant reward says exactly nothing, whatever rounding makes of its mean', () => {
    const rewards = { a: [21.3, 21.3, 21.3, 0.1, 0.1, 0.1], b: [1, 2, 3, 3, 2, 1] };
    const both = rewardAdvantages([0, 0, 0, 1, 1, 1], rewards, { a: 1, b: 1 }, options);
    const alone = rewardAdvantages([0, 0, 0, 1, 1, 1], { b: rewards.b }, { b: 1 }, options);
    expect([...both]).toEqual([...alone]);
  });
});
