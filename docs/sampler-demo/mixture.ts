import type { StepVelocity } from '@flow-grpo/sde-sampler';
import * as tf from '@tensorflow/tfjs-core';

/** Equal Gaussians in the plane: data whose exact velocity is known, so what the page shows is the sampler alone. */
export interface Mixture {
  centres: [number, number][];
  std: number;
}

const circle = (n: number, radius: number): [number, number][] =>
  Array.from({ length: n }, (_, k) => [
    radius * Math.cos((2 * Math.PI * k) / n + Math.PI / 2),
    radius * Math.sin((2 * Math.PI * k) / n + Math.PI / 2),
  ]);

/** The data sets of the page. */
export const mixtures: Record<string, Mixture> = {
  blobs: { centres: circle(3, 1.5), std: 0.28 },
  checkerboard: {
    centres: Array.from({ length: 16 }, (_, i) => [i % 4, Math.floor(i / 4)] as const)
      .filter(([column, row]) => (column + row) % 2 === 0)
      .flatMap(([column, row]) =>
        [-0.25, 0, 0.25].flatMap((dx) =>
          [-0.25, 0, 0.25].map((dy): [number, number] => [column - 1.5 + dx, row - 1.5 + dy]),
        ),
      ),
    std: 0.11,
  },
  ring: { centres: circle(40, 1.6), std: 0.14 },
  spiral: {
    centres: Array.from({ length: 40 }, (_, k): [number, number] => {
      const angle = 0.6 + (k / 40) * 3.6 * Math.PI;
      const radius = 0.16 * angle;
      return [radius * Math.cos(angle), radius * Math.sin(angle)];
    }),
    std: 0.1,
  },
};

/** Variance of x_t given its component. */
const varianceAt = ({ std }: Mixture, t: number) => (1 - t) ** 2 + (t * std) ** 2;

/** E[data − noise | x_t]: on the host, as on the cpu backend that is where the tensors live anyway. */
export const exactVelocity =
  (mixture: Mixture): StepVelocity =>
  (x, _t, { time: t }) => {
    const { centres, std } = mixture;
    const points = x.dataSync();
    const variance = varianceAt(mixture, t);
    const gain = (t * std ** 2 - (1 - t)) / variance;
    const out = new Float32Array(points.length);
    const squares = new Float64Array(centres.length);
    for (let i = 0; i < points.length; i += 2) {
      const [px, py] = [points[i]!, points[i + 1]!];
      let least = Number.POSITIVE_INFINITY;
      for (const [k, [cx, cy]] of centres.entries()) {
        squares[k] = (px - t * cx) ** 2 + (py - t * cy) ** 2;
        least = Math.min(least, squares[k]!);
      }
      let [total, vx, vy] = [0, 0, 0];
      for (const [k, [cx, cy]] of centres.entries()) {
        const weight = Math.exp((least - squares[k]!) / (2 * variance));
        total += weight;
        vx += weight * (cx + gain * (px - t * cx));
        vy += weight * (cy + gain * (py - t * cy));
      }
      out[i] = vx / total;
      out[i + 1] = vy / total;
    }
    return tf.tensor2d(out, x.shape as [number, number]);
  };

/** The density of x_t along the horizontal axis. */
export function marginalDensity(mixture: Mixture, t: number, at: number): number {
  const variance = varianceAt(mixture, t);
  const sum = mixture.centres.reduce((s, [cx]) => s + Math.exp(-((at - t * cx) ** 2) / (2 * variance)), 0);
  return sum / (mixture.centres.length * Math.sqrt(2 * Math.PI * variance));
}
