import { fixtureCases, readJson } from '@flow-grpo/test-support';
import { describe, expect, it } from 'vitest';
import { genevalDetails } from '../remote/geneval-details';
import type { Scorer } from '../scorer';
import { multiScore } from './multi-score';

type Groups = Record<string, number[]>;
interface MultiCase {
  rows: {
    weights: Record<string, number>;
    order: string[];
    scores: Record<string, number[]>;
    geneval_extra: {
      rewards: number[];
      strict_rewards: number[];
      group_rewards: Groups;
      group_strict_rewards: Groups;
    } | null;
    avg_float64: number[];
    avg_reference: number[];
    avg_reference_dtype: string;
    detail_keys: string[];
  }[];
}

const fixed = (name: string, scores: number[], details: Record<string, number[]> = {}): Scorer => ({
  name,
  score: async () => ({ scores, details }),
});

describe.each(fixtureCases('rewards-multi'))('$name', ({ dir }) => {
  const { rows } = readJson<MultiCase>(dir, 'multi.json');

  it.each(rows.map((row, index) => ({ index, row })))('row $index: $row.order', async ({ row }) => {
    const parts = row.order.map((name) => ({
      scorer: fixed(
        name,
        row.scores[name]!,
        name === 'geneval' && row.geneval_extra ? genevalDetails(row.geneval_extra) : {},
      ),
      weight: row.weights[name]!,
    }));
    const count = row.avg_float64.length;
    const images = Array.from({ length: count }, () => ({ bytes: new Uint8Array() }));
    const { scores, details } = await multiScore(parts).score(
      images,
      images.map(() => ''),
      images.map(() => ({})),
    );
    expect(scores).toEqual(row.avg_float64);
    // Each part and each sum of the reference may be off by half a unit of float32's last place.
    const single = row.avg_reference_dtype === 'float64' ? 0 : 2 ** -24;
    scores.forEach((score, i) => {
      const size = row.order.reduce(
        (sum, name) => sum + Math.abs(row.weights[name]! * row.scores[name]![i]!),
        0,
      );
      const tolerance = 3 * row.order.length * single * size;
      expect(Math.abs(score - row.avg_reference[i]!)).toBeLessThanOrEqual(tolerance);
    });
    expect(Object.keys(details)).toEqual(row.detail_keys);
    for (const name of row.order) expect(details[name]).toEqual(row.scores[name]);
    expect(details.avg).toEqual(scores);
  });
});
