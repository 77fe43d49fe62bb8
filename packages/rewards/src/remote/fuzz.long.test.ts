/** As many damaged requests and answers as `REWARD_FUZZ` says: `REWARD_FUZZ=1000000 npx vitest run fuzz.long`. */
import { expect, it } from 'vitest';
import { fuzzRequests, fuzzResponses } from './fuzz-runs.testing';

const COUNT = Number(process.env.REWARD_FUZZ || 10_000);
const HOURS = 3_600_000;

it(`a reward server answers ${COUNT} damaged requests`, { timeout: 2 * HOURS }, async () => {
  const statuses = await fuzzRequests(COUNT);
  expect([...statuses.values()].reduce((sum, count) => sum + count, 0)).toBe(COUNT);
});

it(`clients take or refuse ${COUNT} damaged answers`, { timeout: 2 * HOURS }, async () => {
  const { scored, refused } = await fuzzResponses(COUNT);
  expect(scored + refused).toBeGreaterThanOrEqual(COUNT);
});
