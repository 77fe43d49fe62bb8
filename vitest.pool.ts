/**
 * Processes for test files. To start one and import Vitest, tfjs and our sources into it takes longer than the tests of most
 * files, so files share processes, in which each imports its modules anew. Suites that train on XLA get processes to
 * themselves, as do files that say `@own-process` with the reason.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import {
  BaseSequencer,
  ForksPoolWorker,
  type PoolOptions,
  type PoolWorker,
  type TestSpecification,
  type WorkerRequest,
} from 'vitest/node';

const NAME = 'shared-processes';

/** XLA's clients and programs stay in a process, which gives way to another after so many suites. */
const XLA_SUITES = 8;
const XLA = /\.xla\.|\/packages\/(pjrt|tfjs-backend-xla)\//;

/** Suites that train on XLA, whose programs are large; and long ones. */
const OWN = /\/packages\/(cli|grpo-trainer)\/.*\.(xla|long)\./;

const shares = (file: string) => !OWN.test(file) && !readFileSync(file, 'utf8').includes('@own-process');

class SharedProcess extends ForksPoolWorker implements PoolWorker {
  override readonly name = NAME;
  #shared = false;
  #xlaSuites = 0;

  override send(message: WorkerRequest): void {
    if (message.type === 'start')
      // Vitest's pool reuses processes without isolation alone; told of isolation, they drop their modules before each file.
      message.context.config = { ...message.context.config, isolate: true };
    if (message.type === 'run' || message.type === 'collect') {
      const { files } = message.context;
      this.#shared = files.every(({ filepath }) => shares(filepath));
      this.#xlaSuites += files.filter(({ filepath }) => XLA.test(filepath)).length;
    }
    super.send(message);
  }

  canReuse: NonNullable<PoolWorker['canReuse']> = (task) =>
    this.#shared &&
    this.#xlaSuites < XLA_SUITES &&
    task.context.files.every(({ filepath }) => shares(filepath));
}

/** In Vitest's order, files with processes of their own first, so that no shared process waits for them. */
class OwnProcessesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return [
      ...sorted.filter(({ moduleId }) => !shares(moduleId)),
      ...sorted.filter(({ moduleId }) => shares(moduleId)),
    ];
  }
}

/** Options of a Vitest project whose files share processes. */
export const sharedProcesses = {
  isolate: false,
  // To a single worker without isolation Vitest's pool gives all files at once, those with processes of their own too.
  maxWorkers: Math.max(2, availableParallelism() - 1),
  pool: { name: NAME, createPoolWorker: (options: PoolOptions) => new SharedProcess(options) },
  sequence: { sequencer: OwnProcessesFirst },
};
