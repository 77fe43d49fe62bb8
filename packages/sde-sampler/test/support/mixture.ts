import * as tf from '@tensorflow/tfjs-core';
import type { StepVelocity } from '../../src/index';

/** A Gaussian mixture in the plane with equal weights and one standard deviation, and its exact velocity. */
export interface Mixture {
  means: readonly (readonly [number, number])[];
  std: number;
}

/**
 * Narrower than noise and off its centre, so that every part of the velocity matters; close enough to one another
 * that chance in the blobs' shares does not hide a change of their width.
 */
export const threeBlobs: Mixture = {
  means: [
    [1.8, -0.6],
    [0.9, -0.08],
    [0.9, -1.12],
  ],
  std: 0.35,
};

/**
 * E[data − noise | x_t = x] in closed form. Given the component, x_t has variance V = (1 − t)² + t²s², and data
 * and noise are linear in x_t − t·m.
 */
export const mixtureVelocity =
  ({ means, std }: Mixture): StepVelocity =>
  (x, _t, { time: t }) =>
    tf.tidy(() => {
      const variance = (1 - t) ** 2 + t ** 2 * std ** 2;
      const gain = (t * std ** 2 - (1 - t)) / variance;
      const offsets = means.map((mean) => tf.sub(x, tf.mul(tf.tensor2d([[...mean]]), t)));
      const logits = offsets.map((d) => tf.div(tf.sum(tf.square(d), 1, true), -2 * variance));
      const weights = tf.softmax(tf.concat(logits, 1));
      const parts = means.map((mean, k) => {
        const velocity = tf.add(tf.mul(offsets[k]!, gain), tf.tensor2d([[...mean]]));
        return tf.mul(velocity, tf.slice(weights, [0, k], [-1, 1]));
      });
      return tf.addN(parts);
    });

/** Draws of x_t on the host, of the data itself at t = 1: rows of a flat array [n · 2]. */
export function mixtureAt({ means, std }: Mixture, t: number, n: number, random: () => number): Float64Array {
  const points = new Float64Array(2 * n);
  const width = Math.sqrt((1 - t) ** 2 + (t * std) ** 2);
  for (let i = 0; i < n; i++) {
    const mean = means[Math.floor(random() * means.length)]!;
    const radius = width * Math.sqrt(-2 * Math.log(1 - random()));
    const angle = 2 * Math.PI * random();
    points[2 * i] = t * mean[0] + radius * Math.cos(angle);
    points[2 * i + 1] = t * mean[1] + radius * Math.sin(angle);
  }
  return points;
}

/** Mulberry32: a small generator for tests. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}
