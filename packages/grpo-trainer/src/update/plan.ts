/** Which samples meet in which gradient pass of which update. */
import { shuffled } from '../random';

/** One gradient pass: as many rows as every other; `weight` 0 marks padding. */
export interface PlannedPass {
  readonly samples: readonly number[];
  readonly weights: readonly number[];
}

export interface PlanOptions {
  readonly updates: number;
  /** Rows a pass, constant so that one executable serves all. For pairs: rows of both halves together. */
  readonly rows: number;
  /** Preferred and rejected samples go together (dpo). */
  readonly pairs?: { readonly promptOf: readonly number[] };
}

/**
 * Shuffles the samples that have something to say (advantage not 0), deals them to the updates as evenly as
 * possible, and cuts each update into passes. The weights of an update sum to 1, so its gradient is the mean
 * over its samples. Returns fewer updates when there are not enough samples.
 */
export function planUpdates(
  advantages: ArrayLike<number>,
  random: () => number,
  { updates, rows, pairs }: PlanOptions,
): PlannedPass[][] {
  const live = Array.from(advantages, (_, i) => i).filter((i) => advantages[i] !== 0);
  const units = shuffled(random, pairs ? pairUp(live, advantages, pairs.promptOf) : live.map((i) => [i]));
  const width = pairs ? 2 : 1;
  const planned: PlannedPass[][] = [];
  for (let u = 0; u < updates; u++) {
    const from = Math.floor((u * units.length) / updates);
    const to = Math.floor(((u + 1) * units.length) / updates);
    if (from === to) continue;
    const weight = 1 / ((to - from) * width);
    const passes: PlannedPass[] = [];
    const perPass = Math.max(1, Math.floor(rows / width));
    for (let start = from; start < to; start += perPass) {
      const group = units.slice(start, Math.min(to, start + perPass));
      const padded = Array.from({ length: perPass }, (_, i) => group[i] ?? group[0]!);
      // Column by column: all preferred samples, then all rejected ones.
      const samples = Array.from({ length: width }, (_, side) => padded.map((unit) => unit[side]!)).flat();
      const weights = Array.from({ length: width }, () =>
        padded.map((_, i) => (i < group.length ? weight : 0)),
      );
      passes.push({ samples, weights: weights.flat() });
    }
    planned.push(passes);
  }
  return planned;
}

/** The +1 and the −1 of every prompt, in that order. */
function pairUp(
  live: readonly number[],
  advantages: ArrayLike<number>,
  promptOf: readonly number[],
): number[][] {
  const best = new Map<number, number>();
  for (const i of live) if (advantages[i]! > 0) best.set(promptOf[i]!, i);
  return live
    .filter((i) => advantages[i]! < 0 && best.has(promptOf[i]!))
    .map((i) => [best.get(promptOf[i]!)!, i]);
}
