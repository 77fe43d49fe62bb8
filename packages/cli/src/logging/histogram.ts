/** Histograms with buckets of equal width. */
export interface Histogram {
  readonly low: number;
  readonly high: number;
  /** How many values fall in each bucket from `low` to `high`; the last one holds `high` too. */
  readonly counts: readonly number[];
}

/** The histogram of the finite values; undefined when there is none. */
export function histogramOf(values: ArrayLike<number>, buckets = 30): Histogram | undefined {
  const finite = Array.from(values).filter(Number.isFinite);
  if (finite.length === 0) return undefined;
  let low = finite[0]!;
  let high = low;
  for (const value of finite) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const width = (high - low || 1) / buckets;
  const counts = new Array<number>(buckets).fill(0);
  for (const value of finite) counts[Math.min(buckets - 1, Math.floor((value - low) / width))]!++;
  return { low, high: low + buckets * width, counts };
}

/** The limits between buckets, the outer ones included: one more than there are buckets. */
export function edgesOf({ low, high, counts }: Histogram): number[] {
  return Array.from({ length: counts.length + 1 }, (_, i) => low + ((high - low) * i) / counts.length);
}
