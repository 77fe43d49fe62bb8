import type { Buckets } from '@flow-grpo/page-components/chart';

/** How many values fall in each of `count` buckets of equal width; undefined where there is no value. */
export function histogramOf(values: readonly (number | null)[], count = 30): Buckets | undefined {
  const known = values.filter((value): value is number => value !== null);
  if (known.length === 0) return undefined;
  const [low, most] = [known.reduce((a, b) => Math.min(a, b)), known.reduce((a, b) => Math.max(a, b))];
  const width = (most - low || 1) / count;
  const counts = new Array<number>(count).fill(0);
  for (const value of known) counts[Math.min(count - 1, Math.floor((value - low) / width))]! += 1;
  return { low, high: low + count * width, counts };
}
