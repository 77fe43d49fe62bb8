/** flow-grpo train */
import { progressLine } from '../logging/progress-line';
import { abortOnSignals } from '../signals';
import type { FollowerOptions } from './followers';
import { openRun, type SharedOptions } from './shared';
import { trainRun } from './train-run';

export interface TrainCommandOptions extends SharedOptions, FollowerOptions {
  readonly resume: string | false;
}

export async function trainCommand(file: string | undefined, options: TrainCommandOptions): Promise<void> {
  const line = progressLine();
  const { signal, release } = abortOnSignals((name) =>
    line.note(`${name}: saving, then ending; again to end now`),
  );
  try {
    const { run, made } = await openRun(file, options, { signal, onMessage: line.note });
    const reason = await trainRun(run, made, { ...options, signal }, line);
    if (reason === 'diverged') process.exitCode = 1;
  } finally {
    line.end();
    release();
  }
}
