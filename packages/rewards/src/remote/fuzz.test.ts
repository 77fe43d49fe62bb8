/** Damaged requests and answers, the same ones every time; `fuzz.long.test.ts` tries more. */
import { expect, it } from 'vitest';
import { fuzzRequests, fuzzResponses } from './fuzz-runs.testing';

it('a reward server answers 600 damaged requests', async () => {
  const statuses = await fuzzRequests(0, 600);
  // Some damage does not matter; most does.
  expect(statuses.get(200)).toBeGreaterThan(8);
  expect(statuses.get(400)).toBeGreaterThan(200);
});

it('clients take or refuse 400 damaged answers', async () => {
  const { scored, refused } = await fuzzResponses(0, 400);
  expect(scored).toBeGreaterThan(8);
  expect(refused).toBeGreaterThan(200);
});
