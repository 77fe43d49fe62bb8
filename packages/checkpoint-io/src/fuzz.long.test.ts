import { fuzzBatches } from '@flow-grpo/test-support/fuzz';
import { afterEach, it, vi } from 'vitest';
import { fuzzCheckpoints, fuzzHub } from './fuzz.testing';

const DAY = 86_400_000;

afterEach(() => vi.unstubAllGlobals());

it('reads or refuses mutated checkpoints', { timeout: DAY }, () =>
  fuzzBatches('checkpoints', 12_000, fuzzCheckpoints),
);

it('serves or refuses hostile hubs', { timeout: DAY }, () => fuzzBatches('hub responses', 400, fuzzHub));
