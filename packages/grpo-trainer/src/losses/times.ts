/** The times at which forward-process losses are evaluated, from uniform random numbers. On the host, in doubles. */

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

/** How many uniform numbers a draw of `times` indices takes. */
export const uniformsNeeded = (kind: DiscreteTimes, times: number): number =>
  kind === 'discrete_with_init' ? times - 1 : times;

/**
 * The strata of a grid: its first ⌊numSteps · fraction⌋ steps cut into as many parts as there are times to draw, in the whole
 * numbers below the cuts.
 *
 * Source: advantage_weighted_matching/scripts/train_sd3_awm.py; Flow-Factory's TimeSampler.
 */
export function timeStrata(
  kind: DiscreteTimes,
  numSteps: number,
  fraction: number,
  times: number,
): Stratum[] {
  const count = uniformsNeeded(kind, times);
  const first = kind === 'discrete' ? 0 : 1;
  const cuts = linspace(first, Math.trunc(numSteps * fraction), count + 1).map(Math.trunc);
  return Array.from({ length: count }, (_, i) => ({ lower: cuts[i]!, upper: cuts[i + 1]! }));
}

/**
 * Stratified indices into the rollout's grid, one for each uniform number in [0, 1), in the order of the strata.
 *
 * @param uniforms as many as `uniformsNeeded` says
 * @returns `times` indices, 0 (pure noise) … numSteps − 1
 */
export function stratifiedIndices(
  kind: DiscreteTimes,
  numSteps: number,
  fraction: number,
  uniforms: readonly number[],
): number[] {
  const times = uniforms.length + (kind === 'discrete_with_init' ? 1 : 0);
  const drawn = timeStrata(kind, numSteps, fraction, times).map(
    ({ lower, upper }, i) => lower + Math.trunc(uniforms[i]! * (upper - lower)),
  );
  return kind === 'discrete_with_init' ? [0, ...drawn] : drawn;
}

/** The noisiest time that the continuous sampler gives is 1 − 1 = 0; the cleanest 1 − this. */
const LEAST_NOISE = 0.01;

/**
 * Stratified logit-normal times (0 noise, 1 data): sigmoid of normal quantiles, shifted towards noise for shift > 1.
 *
 * @param uniforms [T] in [0, 1), one for each stratum [k / T, (k + 1) / T)
 * @param permutation the order in which the strata are handed out
 */
export function logitNormalTimes(
  uniforms: readonly number[],
  permutation: readonly number[],
  shift: number,
): number[] {
  const normal = uniforms.map((u, k) => normalQuantile((k + u) / uniforms.length));
  return permutation.map((k) => {
    const sigma = 1 / (1 + Math.exp(-normal[k]!));
    return 1 - Math.max((shift * sigma) / (1 + (shift - 1) * sigma), LEAST_NOISE);
  });
}

/** Equally spaced numbers in float32, counted from the nearer end, as torch.linspace. */
function linspace(from: number, to: number, count: number): number[] {
  const step = Math.fround((to - from) / (count - 1));
  return Array.from({ length: count }, (_, i) =>
    Math.fround(i < Math.floor(count / 2) ? from + step * i : to - step * (count - 1 - i)),
  );
}

/**
 * The quantile function of the standard normal distribution: a rational approximation with a relative error below 1.2e-9.
 *
 * Source: P. J. Acklam, "An algorithm for computing the inverse normal cumulative distribution function" (2003).
 */
export function normalQuantile(p: number): number {
  if (p <= 0) return Number.NEGATIVE_INFINITY;
  if (p >= 1) return Number.POSITIVE_INFINITY;
  if (p > 1 - TAIL) return -normalQuantile(1 - p);
  if (p < TAIL) {
    const q = Math.sqrt(-2 * Math.log(p));
    return polynomial(C, q) / (polynomial(D, q) * q + 1);
  }
  const q = p - 0.5;
  const r = q * q;
  return (polynomial(A, r) * q) / (polynomial(B, r) * r + 1);
}

const TAIL = 0.02425;
const A = [
  -3.969683028665376e1, 2.209460984245205e2, -2.759285104469687e2, 1.38357751867269e2, -3.066479806614716e1,
  2.506628277459239,
];
const B = [
  -5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1, -1.328068155288572e1,
];
const C = [
  -7.784894002430293e-3, -3.223964580411365e-1, -2.400758277161838, -2.549732539343734, 4.374664141464968,
  2.938163982698783,
];
const D = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416];

/** Highest power first. */
const polynomial = (coefficients: readonly number[], x: number) =>
  coefficients.reduce((sum, coefficient) => sum * x + coefficient, 0);
