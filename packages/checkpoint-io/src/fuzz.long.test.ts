import { afterEach, expect, it, vi } from 'vitest';
import { fuzzCheckpoints, fuzzHub } from './fuzz.testing';

/** How many mutated checkpoints, and a hundredth of it hubs: some hours with 100,000,000. */
const RUNS = Number(process.env.CHECKPOINT_FUZZ || 100_000);
/** Behind the inputs of `fuzz.test.ts`. */
const FIRST = 1_000_000;
const DAY = 86_400_000;

afterEach(() => vi.unstubAllGlobals());

it(`reads or refuses ${RUNS} mutated checkpoints`, { timeout: DAY }, async () => {
  expect(await fuzzCheckpoints(FIRST, RUNS)).toBeLessThan(RUNS);
});

it(`serves or refuses ${Math.ceil(RUNS / 100)} hostile hubs`, { timeout: DAY }, async () => {
  const hubs = Math.ceil(RUNS / 100);
  expect(await fuzzHub(FIRST, hubs)).toBeLessThanOrEqual(hubs);
});
