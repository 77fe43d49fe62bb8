/** From the numbers of gradient passes to those of updates and of an epoch. */
import type { Reduction } from '../algorithms/algorithm';

/** How the passes of an update combine: shares of a mean add up. */
export const overPasses = (how: Reduction, values: readonly number[]): number =>
  how === 'max' ? Math.max(0, ...values) : total(values);

/** How the updates of an epoch combine; there must be one. */
export const overUpdates = (how: Reduction, values: readonly number[]): number =>
  how === 'mean' ? total(values) / values.length : overPasses(how, values);

const total = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);
