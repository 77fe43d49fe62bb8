import { type RuleName, sampleTrajectory, uniformSchedule } from '@flow-grpo/sde-sampler';
import * as tf from '@tensorflow/tfjs-core';
import { exactVelocity, type Mixture, marginalDensity } from './mixture';

export interface Settings {
  mixture: Mixture;
  rule: RuleName;
  noiseLevel: number;
  steps: number;
  particles: number;
  seed: number;
}

/** A run of the sampler, ready to draw. */
export interface Simulation {
  settings: Settings;
  times: readonly number[];
  /** Positions [particles · 2] at each time. */
  frames: Float32Array[];
  /** Mean log-probability of each step; null where it drew nothing. */
  logProbs: (number | null)[];
  /** Mean length of a particle's path from noise to data. */
  pathLength: number;
}

export function simulate(settings: Settings): Simulation {
  const { mixture, rule, noiseLevel, steps, particles, seed } = settings;
  const schedule = uniformSchedule(steps);
  const run = sampleTrajectory(exactVelocity(mixture), {
    schedule,
    rule,
    noiseLevel,
    shape: [particles, 2],
    seed,
    density: 'gaussian',
    steps: schedule.times.slice(1).map((_, i) => i),
  });
  const frames = [...run.latents, run.final].map((x) => Float32Array.from(x.dataSync()));
  const logProbs = run.logProbs.map((each) =>
    each ? (tf.sum(each).dataSync()[0] as number) / particles : null,
  );
  let length = 0;
  for (let f = 1; f < frames.length; f++) {
    const [from, to] = [frames[f - 1]!, frames[f]!];
    for (let i = 0; i < to.length; i += 2) length += Math.hypot(to[i]! - from[i]!, to[i + 1]! - from[i + 1]!);
  }
  tf.dispose(run);
  return { settings, times: schedule.times, frames, logProbs, pathLength: length / particles };
}

export const bins = 48;
export const extent = 3;

/** Shares of the particles in equal bins of [−extent, extent], as densities. */
export function histogram(points: Float32Array): number[] {
  const counts = new Array<number>(bins).fill(0);
  for (let i = 0; i < points.length; i += 2) {
    const bin = Math.floor(((points[i]! + extent) / (2 * extent)) * bins);
    if (bin >= 0 && bin < bins) counts[bin]! += 1;
  }
  return counts.map((count) => count / (points.length / 2) / ((2 * extent) / bins));
}

/** Total variation between the histogram and the exact marginal at t: 0 the same, 1 disjoint. */
export function marginalError(mixture: Mixture, points: Float32Array, t: number): number {
  const width = (2 * extent) / bins;
  return histogram(points).reduce((sum, density, i) => {
    const exact = marginalDensity(mixture, t, -extent + (i + 0.5) * width);
    return sum + (Math.abs(density - exact) * width) / 2;
  }, 0);
}
