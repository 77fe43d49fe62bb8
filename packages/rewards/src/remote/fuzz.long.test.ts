import { fuzzBatches } from '@flow-grpo/test-support/fuzz';
import { it } from 'vitest';
import { fuzzRequests, fuzzResponses } from './fuzz-runs.testing';

const DAY = 86_400_000;

it('a reward server answers damaged requests', { timeout: DAY }, () =>
  fuzzBatches('reward-server requests', 2_000, fuzzRequests),
);

it('clients take or refuse damaged answers', { timeout: DAY }, () =>
  fuzzBatches('reward responses', 2_000, fuzzResponses),
);
