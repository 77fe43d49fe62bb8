import { availableParallelism, totalmem } from 'node:os';
import { defineConfig } from 'vitest/config';

/** A file that trains takes up to so many bytes. */
const MEMORY_PER_FILE = 3 * 2 ** 30;

export default defineConfig({
  test: {
    projects: ['packages/*', 'examples/*', 'benchmarks', 'tests', 'docs'],
    // Vitest leaves a core free, which on two cores means one file at a time; and some files mostly wait for processes.
    maxWorkers: Math.max(1, Math.min(availableParallelism() + 1, Math.floor(totalmem() / MEMORY_PER_FILE))),
  },
});
