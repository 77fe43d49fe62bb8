/** The times at which forward-process losses are evaluated, from uniform random numbers. */
import * as tf from '@tensorflow/tfjs-core';

/**
 * Which points of the rollout's grid are drawn: 'discrete' from the first (pure noise) on, 'discrete_wo_init' without it,
 * 'discrete_with_init' with it in every draw.
 */
export type DiscreteTimes = 'discrete' | 'discrete_wo_init' | 'discrete_with_init';

/** A stratum [lower, upper) of grid indices; where the two are equal it holds that index alone. */
export interface Stratum {
  readonly lower: number;
  readonly upper: number;
}

/**
 * The strata that indices are drawn from: the first ⌊numSteps · fraction⌋ steps of a grid cut into as many parts as there are
 * times to draw, in the whole numbers below the cuts. With 'discrete_with_init' one time is pure noise and has no stratum.
 *
 * Source: advantage_weighted_matching/scripts/train_sd3_awm.py; Flow-Factory's TimeSampler.
 */
export function timeStrata(
  kind: DiscreteTimes,
  numSteps: number,
  fraction: number,
  times: number,
): Stratum[] {
  const count = kind === 'discrete_with_init' ? times - 1 : times;
  const first = kind === 'discrete' ? 0 : 1;
  const cuts = linspace(first, Math.trunc(numSteps * fraction), count + 1).map(Math.trunc);
  return Array.from({ length: count }, (_, i) => ({ lower: cuts[i]!, upper: cuts[i + 1]! }));
}

/**
 * One index into the rollout's grid from each stratum, int32 [strata.length].
 *
 * @param uniforms [strata.length] in [0, 1)
 */
export function stratifiedIndices(strata: readonly Stratum[], uniforms: tf.Tensor): tf.Tensor1D {
  const lower = tf.tensor1d(strata.map((stratum) => stratum.lower));
  const width = tf.tensor1d(strata.map((stratum) => stratum.upper - stratum.lower));
  // A product may round up to the width, which is outside.
  const inside = tf.minimum(tf.floor(tf.mul(uniforms, width)), tf.maximum(tf.sub(width, 1), 0));
  return tf.cast(tf.add(lower, inside), 'int32') as tf.Tensor1D;
}

/** The least share of noise that the continuous sampler gives. */
const LEAST_NOISE = 0.01;

/**
 * Stratified logit-normal times (0 noise, 1 data): sigmoid of normal quantiles, shifted towards noise for shift > 1. [T]
 *
 * @param uniforms [T] in [0, 1), one for each stratum [k / T, (k + 1) / T)
 */
export function logitNormalTimes(uniforms: tf.Tensor, shift: number): tf.Tensor1D {
  const count = uniforms.shape[0]!;
  const sigma = tf.sigmoid(normalQuantile(tf.div(tf.add(tf.range(0, count), uniforms), count)));
  const shifted = tf.div(tf.mul(shift, sigma), tf.add(1, tf.mul(shift - 1, sigma)));
  return tf.sub(1, tf.maximum(shifted, LEAST_NOISE)) as tf.Tensor1D;
}

/**
 * The quantile function of the standard normal distribution at p in (0, 1), to float32's precision.
 *
 * Source: M. Giles, "Approximating the erfinv function" (GPU Computing Gems, 2011), single precision.
 */
function normalQuantile(p: tf.Tensor): tf.Tensor {
  const w = tf.neg(tf.log(tf.mul(4, tf.mul(p, tf.sub(1, p)))));
  const centre = polynomial(CENTRE, tf.sub(w, 2.5));
  const tail = polynomial(TAIL, tf.sub(tf.sqrt(tf.maximum(w, 0)), 3));
  const x = tf.sub(tf.mul(2, p), 1);
  return tf.mul(Math.SQRT2, tf.mul(x, tf.where(tf.less(w, 5), centre, tail)));
}

/** Highest power first. */
const polynomial = (coefficients: readonly number[], x: tf.Tensor): tf.Tensor =>
  coefficients
    .slice(1)
    .reduce(
      (sum: tf.Tensor, coefficient) => tf.add(tf.mul(sum, x), coefficient),
      tf.fill(x.shape, coefficients[0]!),
    );

const CENTRE = [
  2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 0.00021858087, -0.00125372503, -0.00417768164,
  0.246640727, 1.50140941,
];
const TAIL = [
  -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
  1.00167406, 2.83297682,
];

/** Equally spaced numbers in float32, counted from the nearer end, as torch.linspace. */
function linspace(from: number, to: number, count: number): number[] {
  const step = Math.fround((to - from) / (count - 1));
  return Array.from({ length: count }, (_, i) =>
    Math.fround(i < Math.floor(count / 2) ? from + step * i : to - step * (count - 1 - i)),
  );
}
