import { fuzzBatches } from '@flow-grpo/test-support/fuzz';
import { it } from 'vitest';
import { fuzzRunFiles } from './fuzz.testing';

const DAY = 86_400_000;

it('damaged run files are read or refused in words', { timeout: DAY }, () =>
  fuzzBatches('run files', 2_000, fuzzRunFiles),
);
