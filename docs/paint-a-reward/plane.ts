/** The plane is [−EXTENT, EXTENT] in both directions. */
export const EXTENT = 3;

/** Where the data lie: equal Gaussians. */
export interface Mixture {
  readonly centres: readonly (readonly [number, number])[];
  readonly std: number;
}

/** A ring, so that every direction is as likely as another before anybody asks for one. */
export const ring: Mixture = {
  centres: Array.from({ length: 24 }, (_, k) => {
    const angle = (2 * Math.PI * k) / 24;
    return [1.5 * Math.cos(angle), 1.5 * Math.sin(angle)] as const;
  }),
  std: 0.22,
};

/** Points of a mixture [count · 2], the same ones every time: what an untrained model draws, before there is one. */
export function pointsOf({ centres, std }: Mixture, count: number): Float32Array {
  // Two sequences that fill an interval evenly stand for chance.
  const share = (i: number, step: number) => (0.5 + i * step) % 1;
  const points = new Float32Array(2 * count);
  for (let i = 0; i < count; i++) {
    const [x, y] = centres[i % centres.length]!;
    const radius = std * Math.sqrt(-2 * Math.log(1 - 0.98 * share(i, 0.754878)));
    const angle = 2 * Math.PI * share(i, 0.56984);
    points[2 * i] = x + radius * Math.cos(angle);
    points[2 * i + 1] = y + radius * Math.sin(angle);
  }
  return points;
}
