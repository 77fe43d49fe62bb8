/** From the numbers of gradient passes to those of updates and of an epoch. */
import type { Reduction } from '../algorithms/algorithm';

/** How the passes of an update combine: shares of a mean add up. */
const overPasses = (how: Reduction, values: readonly number[]): number =>
  how === 'max' ? Math.max(0, ...values) : total(values);

/**
 * One number per update and metric.
 *
 * @param passes what each pass gave: first the metrics in the order of `reductions`
 */
export function perUpdateMetrics<Name extends string>(
  passes: readonly { readonly row: ArrayLike<number>; readonly update: number }[],
  updates: number,
  reductions: Readonly<Record<Name, Reduction>>,
): Record<Name, number[]> {
  const names = Object.keys(reductions) as Name[];
  const ofUpdate = (u: number) => passes.filter(({ update }) => update === u);
  return Object.fromEntries(
    names.map((name, column) => [
      name,
      Array.from({ length: updates }, (_, u) =>
        overPasses(
          reductions[name],
          ofUpdate(u).map(({ row }) => row[column]!),
        ),
      ),
    ]),
  ) as Record<Name, number[]>;
}

/** How the updates of an epoch combine; there must be one. */
export const overUpdates = (how: Reduction, values: readonly number[]): number =>
  how === 'mean' ? total(values) / values.length : overPasses(how, values);

/**
 * Mean and 99th percentile of each recorded step, as `NAME.STEP.mean` and `NAME.STEP.p99`; NaN does not count.
 *
 * @param passes what each pass gave: `scalars` numbers, then for each name a value for every image and step
 */
export function stepStatistics(
  passes: readonly { readonly row: ArrayLike<number>; readonly steps: readonly number[] }[],
  scalars: number,
  names: readonly string[],
): Record<string, number> {
  const values = new Map<string, number[]>();
  for (const { row, steps } of passes) {
    const each = (row.length - scalars) / names.length;
    for (const [n, name] of names.entries()) {
      for (let i = 0; i < each; i++) {
        const value = row[scalars + n * each + i]!;
        if (Number.isNaN(value)) continue;
        const key = `${name}.${steps[i % steps.length]}`;
        const known = values.get(key);
        if (known) known.push(value);
        else values.set(key, [value]);
      }
    }
  }
  return Object.fromEntries(
    [...values].flatMap(([key, found]) => {
      found.sort((a, b) => a - b);
      const p99 = found[Math.min(found.length - 1, Math.ceil(0.99 * found.length) - 1)]!;
      return [
        [`${key}.mean`, total(found) / found.length],
        [`${key}.p99`, p99],
      ];
    }),
  );
}

const total = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);
