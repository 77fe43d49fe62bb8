/** flow-grpo train */
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { abortOnSignals } from '@flow-grpo/grpo-trainer/node';
import { progressLine } from '../logging/progress-line';
import type { ObserverOptions } from '../run/observers';
import { planRun } from '../run/plan-run';
import { trainRun } from '../run/train-run';
import type { RunFile } from '../run-file/schema';
import type { SetupContext } from '../setup/setup';
import { openRun, readRun, type SharedOptions } from './shared';

export interface TrainCommandOptions extends SharedOptions, ObserverOptions {
  readonly resume: string | false;
  readonly allowChanged: readonly string[];
  readonly takeOver?: boolean;
  /** Tell what would run, and end. */
  readonly dryRun?: boolean;
}

export async function trainCommand(file: string | undefined, options: TrainCommandOptions): Promise<void> {
  const line = progressLine();
  const { signal, release } = abortOnSignals((name) =>
    line.note(`${name}: saving, then ending; again to end now`),
  );
  try {
    if (options.dryRun) return await showPlan(await readRun(file, options), { signal, onMessage: line.note });
    const { run, made } = await openRun(file, options, { signal, onMessage: line.note });
    const reason = await trainRun(run, made, { ...options, signal }, line);
    if (reason === 'diverged' || reason === 'hacked') process.exitCode = 1;
  } finally {
    line.end();
    release();
  }
}

/** @throws {ConfigError} when something is missing, after what can be told without it. */
async function showPlan(run: RunFile, context: SetupContext): Promise<void> {
  const { text, missing } = await planRun(run, context);
  console.log(text);
  if (missing.length > 0) throw new ConfigError(`\nMissing:\n${missing.join('\n')}`);
}
