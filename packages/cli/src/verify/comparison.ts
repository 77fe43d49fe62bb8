/** Compares numbers with a reference, and reports the difference. */
import type * as tf from '@tensorflow/tfjs-core';

/** One thing that was compared. */
export interface Comparison {
  readonly what: string;
  readonly agrees: boolean;
  /** How near, and what to look at where it is not. */
  readonly detail: string;
}

/** The largest difference, as a share of the largest value of the reference. */
export function relativeDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let [largest, difference] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const apart = Math.abs(actual[i]! - expected[i]!);
    if (!Number.isFinite(apart)) return Number.POSITIVE_INFINITY;
    largest = Math.max(largest, Math.abs(expected[i]!));
    difference = Math.max(difference, apart);
  }
  return difference / Math.max(largest, Number.MIN_VALUE);
}

/** @param hint what to look at where they differ */
export async function compareTensors(
  what: string,
  actual: tf.Tensor,
  expected: tf.Tensor,
  tolerance: number,
  hint: string,
): Promise<Comparison> {
  if (actual.shape.join() !== expected.shape.join()) {
    const detail = `shape [${actual.shape}], and the reference has [${expected.shape}]; ${hint}`;
    return { what, agrees: false, detail };
  }
  const difference = relativeDifference(await actual.data(), await expected.data());
  const agrees = difference <= tolerance;
  const measured = `differs by ${difference.toPrecision(2)} of the largest value, allowed ${tolerance}`;
  return { what, agrees, detail: agrees ? measured : `${measured}; ${hint}` };
}
