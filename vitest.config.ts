import { availableParallelism, totalmem } from 'node:os';
import { project } from './vitest.base.ts';

/** A file that trains takes up to so many bytes. */
const MEMORY_PER_FILE = 3 * 2 ** 30;

/** All tests as one project: packages as projects of their own would each transform the sources that they share. */
export default project(
  'flow-grpo',
  ['packages/*/src', 'packages/*/test', 'examples/*/src', 'benchmarks/src', 'docs/test', 'tests'],
  {
    // Vitest leaves a core free; two at least, see vitest.pool.ts.
    maxWorkers: Math.max(2, Math.min(availableParallelism(), Math.floor(totalmem() / MEMORY_PER_FILE))),
  },
);
