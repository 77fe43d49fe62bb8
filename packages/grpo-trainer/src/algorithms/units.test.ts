import fc from 'fast-check';
import { expect, it } from 'vitest';
import { randomAt } from '../random';
import { planUpdates } from '../update/plan';
import { allImages, wholeGroups } from './units';

const epochs = fc
  .record({ prompts: fc.integer({ min: 1, max: 5 }), images: fc.integer({ min: 2, max: 5 }) })
  .chain(({ prompts, images }) =>
    fc.record({
      prompts: fc.constant(prompts),
      images: fc.constant(images),
      dropped: fc.array(fc.boolean(), { minLength: prompts * images, maxLength: prompts * images }),
      updates: fc.integer({ min: 1, max: 3 }),
      groupsPerPass: fc.integer({ min: 1, max: 3 }),
      seed: fc.nat(),
    }),
  );

it('whole groups meet member by member, weigh 1 together in an update, and dropped images nothing', () => {
  fc.assert(
    fc.property(epochs, ({ prompts, images, dropped, updates, groupsPerPass, seed }) => {
      const promptIndex = dropped.map((_, i) => Math.floor(i / images));
      const advantages = dropped.map(() => 0); // also train
      const units = wholeGroups(prompts, images).select({ advantages, dropped, promptIndex });
      const rows = groupsPerPass * images;
      const plan = planUpdates(units, randomAt(seed), { updates, rows, dropped });
      const used: number[] = [];
      for (const passes of plan) {
        expect(passes.flatMap(({ weights }) => weights).reduce((a, b) => a + b)).toBeCloseTo(1, 10);
        for (const { samples, weights } of passes) {
          expect(samples).toHaveLength(rows);
          for (const [row, sample] of samples.entries()) {
            // Row m · groups + g is member m of group g.
            expect(promptIndex[sample]).toBe(promptIndex[samples[row % groupsPerPass]!]);
            if (weights[row]! > 0) used.push(sample);
          }
        }
      }
      const kept = promptIndex.flatMap((_, i) => (dropped[i] ? [] : [i]));
      expect(used.sort((a, b) => a - b)).toEqual(kept);
    }),
  );
});

it('all images train, whatever their advantage, but dropped ones', () => {
  const images = {
    advantages: [0, 1, 0, -1],
    dropped: [false, false, true, false],
    promptIndex: [0, 0, 1, 1],
  };
  expect(allImages(4).select(images)).toEqual([[0], [1], [3]]);
});
