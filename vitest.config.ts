import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: ['packages/*', 'examples/*', 'benchmarks', 'tests', 'docs'],
    // Vitest leaves a core free, which on two cores means one file at a time.
    maxWorkers: availableParallelism(),
  },
});
