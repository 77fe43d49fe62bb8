/** Damaged requests and answers, the same ones every time; `fuzz.long.test.ts` tries more. */
import { expect, it } from 'vitest';
import { fuzzRequests, fuzzResponses } from './fuzz-runs.testing';

it('a reward server answers 1,500 damaged requests', async () => {
  const statuses = await fuzzRequests(0, 1500);
  // Some damage does not matter; most does.
  expect(statuses.get(200)).toBeGreaterThan(20);
  expect(statuses.get(400)).toBeGreaterThan(500);
});

it('clients take or refuse 1,000 damaged answers', async () => {
  const { scored, refused } = await fuzzResponses(0, 1000);
  expect(scored).toBeGreaterThan(20);
  expect(refused).toBeGreaterThan(500);
});
