/** Numbers for fuzzers: an input is a function of its number, so that one that fails can be repeated. */

/** A whole number below the given one. */
export type Random = (below: number) => number;

/** A small generator (mulberry32). */
export function randomFrom(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return Math.floor((((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** One of the items. */
export const pick = <T>(random: Random, items: readonly T[]): T => items[random(items.length)]!;

/** Numbers up to this are those of the tests that always try the same inputs. */
const BEHIND = 10_000_000;

/** Processor time since `start`: whatever else runs on the machine does not count. */
export function secondsSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}

/** How long a fuzzer of `npm run fuzz` runs, in minutes; 0 elsewhere: one batch. */
export const fuzzMinutes = (): number => Number(process.env.FLOW_GRPO_FUZZ_MINUTES || 0);

/**
 * Tries batches of `size` inputs, numbered behind those of the tests that always try the same: one of them, or in
 * `npm run fuzz` until the time is over, from another number each day. Prints how many there were.
 */
export async function fuzzBatches(
  what: string,
  size: number,
  batch: (first: number, count: number) => Promise<unknown>,
): Promise<number> {
  const minutes = fuzzMinutes();
  const start =
    minutes > 0 ? Number(process.env.FLOW_GRPO_FUZZ_SEED || Math.floor(Date.now() / 86_400_000)) : 0;
  let first = BEHIND * (1 + start);
  let tried = 0;
  const until = Date.now() + 60_000 * minutes;
  do {
    await batch(first, size);
    first += size;
    tried += size;
  } while (Date.now() < until);
  console.log(`${what}: ${tried} inputs, numbers ${first - tried} to ${first - 1}`);
  return tried;
}
