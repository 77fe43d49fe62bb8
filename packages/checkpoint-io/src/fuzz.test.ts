import { afterEach, describe, expect, it, vi } from 'vitest';
import { fuzzCheckpoints, fuzzHub } from './fuzz.testing';

/** Always the same inputs; `fuzz.long.test.ts` goes on from there. */
const CHECKPOINTS = 5_000;
const HUBS = 100;

afterEach(() => vi.unstubAllGlobals());

describe('mutated checkpoints', () => {
  it(`are read or refused, ${CHECKPOINTS} of them, within time and memory`, async () => {
    const refused = await fuzzCheckpoints(0, CHECKPOINTS);
    // Edits inside tensor data are no damage that a reader can see, others are.
    expect(refused).toBeGreaterThan(CHECKPOINTS / 4);
    expect(refused).toBeLessThan(CHECKPOINTS);
  });
});

describe('hubs that send what they should not', () => {
  it(`are served or refused, ${HUBS} of them`, async () => {
    const refused = await fuzzHub(0, HUBS);
    expect(refused).toBeGreaterThan(HUBS / 4);
    expect(refused).toBeLessThan(HUBS);
  });
});
