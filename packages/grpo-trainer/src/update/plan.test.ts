import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
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

describe('images that their devices hold', () => {
  const IMAGES = 48;
  /** Batches of 16 images, of each of which every device has a slice. */
  const holder = (devices: number) => (image: number) => Math.floor((image % 16) / (16 / devices));
  const plan = (devices: number, live: readonly number[], updates: number, seed: number) =>
    planUpdates(
      live.map((i) => [i]),
      randomAt(seed),
      { updates, rows: 8, devices, deviceOf: holder(devices) },
    );
  const used = (passes: ReturnType<typeof plan>[number]) =>
    passes.flatMap(({ samples, weights }) => samples.filter((_, i) => weights[i]! > 0)).sort((a, b) => a - b);
  const everyone = Array.from({ length: IMAGES }, (_, i) => i);

  it('meet in the same updates on any number of devices, each once', () => {
    fc.assert(
      fc.property(
        fc.subarray(everyone, { minLength: 1 }),
        fc.integer({ min: 1, max: 4 }),
        fc.nat(),
        (live, updates, seed) => {
          const plans = [1, 2, 4, 8].map((devices) => plan(devices, live, updates, seed));
          const [one, ...others] = plans.map((updatesOf) => updatesOf.map(used));
          for (const other of others) expect(other).toEqual(one);
          expect(one!.flat().sort((a, b) => a - b)).toEqual(live);
          const sizes = one!.map(({ length }) => length);
          expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
          for (const passes of plans.flat()) {
            const sum = passes.flatMap(({ weights }) => [...weights]).reduce((a, b) => a + b, 0);
            expect(sum).toBeCloseTo(1, 10);
          }
        },
      ),
    );
  });

  it('stay there, in no more passes than images that are dealt evenly take', () => {
    fc.assert(
      fc.property(
        fc.subarray(everyone, { minLength: 1 }),
        fc.constantFrom(1, 2, 4, 8),
        fc.nat(),
        (live, devices, seed) => {
          for (const passes of plan(devices, live, 2, seed)) {
            expect(passes.length).toBe(Math.ceil(used(passes).length / 8));
            for (const { samples, weights, inPlace } of passes) {
              expect([samples.length, weights.length]).toEqual([8, 8]);
              if (!inPlace) continue;
              const share = 8 / devices;
              expect(samples.map(holder(devices))).toEqual(samples.map((_, i) => Math.floor(i / share)));
            }
          }
        },
      ),
    );
    for (const devices of [2, 4, 8]) {
      const all = plan(devices, everyone, 2, 1).flat();
      expect(all.map(({ inPlace }) => inPlace)).toEqual(all.map(() => true));
    }
  });

  it('move to other devices where some have too few', () => {
    // Of two devices one has 22 images, the other 4.
    const live = everyone.filter((i) => holder(2)(i) === 0 || i % 16 >= 14).slice(0, 26);
    const [passes] = plan(2, live, 1, 1);
    expect(passes!.map(({ inPlace }) => inPlace)).toEqual([true, false, false, false]);
  });
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
