/** Energy distance 2·E|X − Y| − E|X − X'| − E|Y − Y'| of points in the plane, with a permutation bound. */
export interface EnergyTest {
  distance: number;
  /** The given quantile of the distance when the two samples are shuffled together: what chance alone gives. */
  bound: number;
}

export function energyTest(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  random: () => number,
  { resamples = 60, quantile = 0.99 } = {},
): EnergyTest {
  const [na, nb] = [a.length / 2, b.length / 2];
  const n = na + nb;
  const points = new Float64Array(2 * n);
  points.set(a);
  points.set(b, 2 * na);
  const isA = Uint8Array.from({ length: n }, (_, i) => (i < na ? 1 : 0));
  // First as they came, then shuffled: the points that count as A, in their order.
  const samples = Array.from({ length: 1 + resamples }, (_, k) => {
    for (let i = n - 1; k > 0 && i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [isA[i], isA[j]] = [isA[j]!, isA[i]!];
    }
    const members = new Int32Array(na);
    for (let i = 0, count = 0; i < n; i++) if (isA[i]) members[count++] = i;
    return { members, known: 0, within: 0 };
  });
  /** Sums of the distances from each point to all, and of all pairs. */
  const rows = new Float64Array(n);
  let total = 0;
  const row = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    const [x, y] = [points[2 * i]!, points[2 * i + 1]!];
    for (let j = 0; j < i; j++) {
      const d = Math.sqrt((x - points[2 * j]!) ** 2 + (y - points[2 * j + 1]!) ** 2);
      row[j] = d;
      rows[i]! += d;
      rows[j]! += d;
      total += d;
    }
    // While the row is at hand, the pairs of A that end in it.
    for (const sample of samples) {
      const { members, known } = sample;
      if (members[known] !== i) continue;
      sample.within += sumAt(row, members, known);
      sample.known++;
    }
  }
  const energies = samples.map(({ members, within }) => {
    const ofRows = sumAt(rows, members, na);
    // A's rows have each of its pairs twice and those with B once; all the others lie within B.
    const between = ofRows - 2 * within;
    const others = total - within - between;
    return 2 * (between / (na * nb) - within / na ** 2 - others / nb ** 2);
  });
  const [distance, ...shuffled] = energies as [number, ...number[]];
  shuffled.sort((x, y) => x - y);
  return { distance, bound: shuffled[Math.min(resamples - 1, Math.floor(resamples * quantile))]! };
}

/** The sum of the values at the first `count` places. */
function sumAt(values: Float64Array, places: Int32Array, count: number): number {
  let [one, two] = [0, 0];
  for (let k = 1; k < count; k += 2) {
    one += values[places[k - 1]!]!;
    two += values[places[k]!]!;
  }
  return count % 2 === 0 ? one + two : one + two + values[places[count - 1]!]!;
}
