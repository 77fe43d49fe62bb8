import fc from 'fast-check';
import { expect, it } from 'vitest';
import { bestAndWorst, imagesWithAdvantage } from '../algorithms/units';
import { randomAt } from '../random';
import { planUpdates } from './plan';

const cases = fc.record({
  advantages: fc.array(fc.constantFrom(-1, 0, 0.5, 2), { minLength: 1, maxLength: 60 }),
  updates: fc.integer({ min: 1, max: 5 }),
  rows: fc.integer({ min: 1, max: 20 }),
  seed: fc.nat(),
});

it('uses every sample with an advantage once, with equal weights that sum to 1 an update', () => {
  fc.assert(
    fc.property(cases, ({ advantages, updates, rows, seed }) => {
      const promptIndex = advantages.map(() => 0);
      const units = imagesWithAdvantage(advantages.length).select({ advantages, dropped: [], promptIndex });
      const plan = planUpdates(units, randomAt(seed), { updates, rows });
      const used = plan.flatMap((passes) =>
        passes.flatMap(({ samples, weights }) => samples.filter((_, i) => weights[i]! > 0)),
      );
      const live = advantages.flatMap((advantage, i) => (advantage === 0 ? [] : [i]));
      expect(used.sort((a, b) => a - b)).toEqual(live);
      for (const passes of plan) {
        const weights = passes.flatMap((pass) => [...pass.weights]);
        expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 10);
        for (const pass of passes) expect(pass.samples).toHaveLength(rows);
      }
    }),
  );
});

it('gives each device whole units, in the order of one device', () => {
  const promptIndex = [0, 0, 1, 1, 2, 2, 3, 3];
  const units = bestAndWorst(4).select({
    advantages: [1, -1, -1, 1, 1, -1, -1, 1],
    dropped: [],
    promptIndex,
  });
  const samplesOn = (devices: number) =>
    planUpdates(units, randomAt(1), { updates: 1, rows: 8, devices })[0]![0]!.samples;
  const [one, two] = [samplesOn(1), samplesOn(2)];
  const rows = (some: readonly number[]) => [some.slice(0, some.length / 2), some.slice(some.length / 2)];
  const [first, second] = rows(one);
  expect(two).toEqual([...rows(first!)[0]!, ...rows(second!)[0]!, ...rows(first!)[1]!, ...rows(second!)[1]!]);
  for (const own of rows(two)) expect(new Set(own.map((i) => promptIndex[i])).size).toBe(2);
});

it('keeps preferred and rejected samples of a prompt at the same place of the two halves', () => {
  const promptOf = [0, 0, 1, 1, 2, 2];
  const advantages = [1, -1, -1, 1, 0, 0];
  const units = bestAndWorst(3).select({ advantages, dropped: [], promptIndex: promptOf });
  const [passes] = planUpdates(units, randomAt(1), { updates: 1, rows: 6 });
  const { samples, weights } = passes![0]!;
  for (let i = 0; i < 3; i++) {
    expect(advantages[samples[i]!]).toBe(1);
    expect(advantages[samples[i + 3]!]).toBe(-1);
    expect(promptOf[samples[i]!]).toBe(promptOf[samples[i + 3]!]);
    expect(weights[i]).toBe(weights[i + 3]);
  }
});
