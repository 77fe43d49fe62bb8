import { expect } from 'vitest';

/** Largest |a − b|; NaN beside NaN and equal infinities count as 0, any other mismatch as infinity. */
export function maxAbsDiff(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) {
    throw new Error(`${actual.length} values where ${expected.length} are expected`);
  }
  let worst = 0;
  for (let i = 0; i < actual.length; i++) {
    const a = actual[i]!;
    const b = expected[i]!;
    if (Object.is(a, b) || a === b) continue;
    const difference = Math.abs(a - b);
    worst = Math.max(worst, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
  }
  return worst;
}

/** Largest magnitude, 0 for an empty array. */
export function maxAbs(values: ArrayLike<number>): number {
  let worst = 0;
  for (let i = 0; i < values.length; i++) worst = Math.max(worst, Math.abs(values[i]!));
  return worst;
}

/** Fails unless every value is within `tolerance` of its expected value; `label` names the tensor. */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  label = 'values',
): void {
  const difference = maxAbsDiff(actual, expected);
  expect(difference, `${label}: largest difference ${difference}, allowed ${tolerance}`).toBeLessThanOrEqual(
    tolerance,
  );
}
