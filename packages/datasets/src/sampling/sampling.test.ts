import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KRepeatSampler } from './k-repeat-sampler';

const sizes = fc
  .record({
    numReplicas: fc.integer({ min: 1, max: 8 }),
    k: fc.integer({ min: 1, max: 24 }),
    groups: fc.integer({ min: 1, max: 12 }),
    extra: fc.integer({ min: 0, max: 1000 }),
    seed: fc.nat(),
    epoch: fc.nat(),
  })
  .map(({ numReplicas, k, groups, extra, seed, epoch }) => {
    const batchSize = groups * k; // whole groups for any number of replicas
    return { numReplicas, k, batchSize, seed, epoch, datasetSize: numReplicas * groups + extra };
  });

describe('KRepeatSampler', () => {
  it('repeats every chosen prompt k times over the replicas, each with its slice', () => {
    fc.assert(
      fc.property(sizes, ({ epoch, ...options }) => {
        const ranks = Array.from({ length: options.numReplicas }, (_, rank) =>
          new KRepeatSampler({ ...options, rank }).batch(epoch),
        );
        const all = ranks.flat();
        expect(ranks.every((batch) => batch.length === options.batchSize)).toBe(true);
        const counts = new Map<number, number>();
        for (const index of all) counts.set(index, (counts.get(index) ?? 0) + 1);
        expect(counts.size).toBe(all.length / options.k);
        expect([...counts.values()].every((count) => count === options.k)).toBe(true);
        expect(all.every((index) => index >= 0 && index < options.datasetSize)).toBe(true);
        expect(new KRepeatSampler(options).globalBatch(epoch)).toEqual(all);
      }),
    );
  });

  it('adds seed and epoch, reshuffles with them, and yields the same again without them', () => {
    const sampler = (seed: number) => new KRepeatSampler({ datasetSize: 500, batchSize: 16, k: 4, seed });
    expect(sampler(1).batch(2)).toEqual(sampler(2).batch(1));
    expect(sampler(1).batch(2)).toEqual(sampler(1).batch(2));
    expect(sampler(1).batch(2)).not.toEqual(sampler(1).batch(3));
  });

  it('chooses every prompt equally often', () => {
    const sampler = new KRepeatSampler({ datasetSize: 10, batchSize: 6, k: 2 });
    const counts = new Array<number>(10).fill(0);
    for (let epoch = 0; epoch < 5000; epoch++) for (const index of sampler.batch(epoch)) counts[index]!++;
    for (const count of counts) expect(Math.abs(count - 3000)).toBeLessThan(200);
  });

  it('resumes in the middle of an epoch', () => {
    const options = { datasetSize: 100, batchSize: 8, k: 4, numReplicas: 2, rank: 1, seed: 3 };
    const first = new KRepeatSampler(options);
    for (let i = 0; i < 5; i++) first.next();
    const second = new KRepeatSampler(options);
    second.restore(JSON.parse(JSON.stringify(first.state())));
    expect([second.next(), second.next()]).toEqual([first.next(), first.next()]);
    const other = new KRepeatSampler({ ...options, k: 2 });
    expect(() => other.restore(first.state())).toThrow('the stored state has k 4, this sampler 2');
  });

  it('goes on from any batch of any epoch, on every replica, as if it had never stopped', () => {
    fc.assert(
      fc.property(sizes, fc.nat(40), fc.integer({ min: 1, max: 8 }), ({ epoch, ...options }, done, more) => {
        const start = epoch % 1000;
        for (let rank = 0; rank < options.numReplicas; rank++) {
          const whole = new KRepeatSampler({ ...options, rank });
          whole.setEpoch(start);
          for (let i = 0; i < done; i++) whole.next();
          const resumed = new KRepeatSampler({ ...options, rank });
          resumed.restore(JSON.parse(JSON.stringify(whole.state())));
          for (let i = 0; i < more; i++) expect(resumed.next()).toEqual(whole.next());
          expect(resumed.state()).toEqual(whole.state());
          expect(resumed.state().epoch).toBe(start + done + more);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('names sizes that work', () => {
    const make = (more: object) => () =>
      new KRepeatSampler({ datasetSize: 100, batchSize: 9, k: 24, ...more });
    expect(make({ numReplicas: 2 })).toThrow('batchSize 12, 24 would work');
    expect(make({ batchSize: 24, k: 1, datasetSize: 10 })).toThrow('use k of at least 3');
    expect(make({ rank: 1 })).toThrow('rank must lie in 0 … 0');
    expect(make({ k: 0 })).toThrow('k must be a whole number from 1, not 0');
  });
});
