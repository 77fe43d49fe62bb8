import { fixtureCases, readJson } from '@flow-grpo/test-support';
import { describe, expect, it } from 'vitest';
import { KRepeatSampler } from './k-repeat-sampler';

interface SamplerCase {
  dataset_size: number;
  batch_size: number;
  k: number;
  num_replicas: number;
  seed: number;
  epoch: number;
  indices_per_rank: number[][];
  unique: number[];
}

/** What the two orders must share: PyTorch's own random order is not part of the contract. */
function structure(ranks: number[][]) {
  const counts = new Map<number, number>();
  for (const index of ranks.flat()) counts.set(index, (counts.get(index) ?? 0) + 1);
  return { lengths: ranks.map((batch) => batch.length), repeats: [...counts.values()] };
}

describe.each(fixtureCases('grpo-loss'))('$name', ({ dir }) => {
  const { cases } = readJson<{ cases: SamplerCase[] }>(dir, 'sampler.json');

  it.each(cases)('k $k, $num_replicas replicas × $batch_size of $dataset_size', (expected) => {
    const ranks = expected.indices_per_rank.map((_, rank) => {
      const sampler = new KRepeatSampler({
        datasetSize: expected.dataset_size,
        batchSize: expected.batch_size,
        k: expected.k,
        numReplicas: expected.num_replicas,
        seed: expected.seed,
        rank,
      });
      expect(sampler.promptsPerBatch).toBe(expected.unique.length);
      return sampler.batch(expected.epoch);
    });
    expect(structure(ranks)).toEqual(structure(expected.indices_per_rank));
    expect(ranks.flat().every((index) => index >= 0 && index < expected.dataset_size)).toBe(true);
  });
});
