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
  const at = (i: number, axis: number) => (i < na ? a[2 * i + axis]! : b[2 * (i - na) + axis]!);
  const distances = new Float32Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) {
      const d = Math.sqrt((at(i, 0) - at(j, 0)) ** 2 + (at(i, 1) - at(j, 1)) ** 2);
      distances[i * n + j] = d;
      distances[j * n + i] = d;
    }
  }
  const isA = Uint8Array.from({ length: n }, (_, i) => (i < na ? 1 : 0));
  const energy = () => {
    // With s = 1/na on A and −1/nb on B the energy distance is −sᵀ·D·s.
    let sum = 0;
    const signs = Float64Array.from(isA, (flag) => (flag ? 1 / na : -1 / nb));
    for (let i = 0; i < n; i++) {
      let row = 0;
      for (let j = 0; j < i; j++) row += distances[i * n + j]! * signs[j]!;
      sum += row * signs[i]!;
    }
    return -2 * sum;
  };
  const distance = energy();
  const shuffled = Array.from({ length: resamples }, () => {
    for (let i = n - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [isA[i], isA[j]] = [isA[j]!, isA[i]!];
    }
    return energy();
  }).sort((x, y) => x - y);
  return { distance, bound: shuffled[Math.min(resamples - 1, Math.floor(resamples * quantile))]! };
}
