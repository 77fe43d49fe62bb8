/** Training as a program of your own: everything that `flow-grpo train` does around a run, without its flags. */
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { abortOnSignals } from '@flow-grpo/grpo-trainer/node';
import { deviceInfo } from '@flow-grpo/tfjs-jit';
import { exitCodeOf, reportFailure } from '../commands/failure';
import { useBackend } from '../commands/shared';
import { type ProgressLine, progressLine } from '../logging/progress-line';
import type { RunFile } from '../run-file/schema';
import { makeSetup } from '../setup/make-setup';
import { planRun } from './plan-run';
import { type TrainRunOptions, trainRun } from './train-run';

export interface PlanOrTrainOptions extends Pick<TrainRunOptions, 'resume' | 'ui' | 'profile'> {
  /** Print the plan, and check that everything is there, instead of training. */
  readonly dryRun?: boolean;
  /** Where there is no GPU the program ends with this message; without a message it trains on the CPU. */
  readonly withoutGpu?: string | undefined;
}

/**
 * Trains a run on XLA, or prints its plan, as the whole of a program. SIGINT and SIGTERM save a checkpoint and end the run;
 * whatever fails is printed, and the process gets the exit code that `flow-grpo train` would have.
 *
 * @param open reads the run; what it throws is reported alike
 */
export async function planOrTrain(
  open: (line: ProgressLine) => Promise<RunFile>,
  { dryRun = false, withoutGpu, ...options }: PlanOrTrainOptions = {},
): Promise<void> {
  const line = progressLine();
  const { signal, release } = abortOnSignals((name) =>
    line.note(`${name}: saving what is done, then exiting`),
  );
  const context = { signal, onMessage: line.note };
  try {
    const run = await open(line);
    if (dryRun) {
      const { text, missing } = await planRun(run, context);
      console.log(text);
      if (missing.length > 0) throw new ConfigError(`\nMissing:\n${missing.join('\n')}`);
      return;
    }
    await useBackend('xla', run.config.devices);
    if (withoutGpu !== undefined && deviceInfo()[0]?.platform === 'cpu') throw new ConfigError(withoutGpu);
    const setup = await makeSetup(run.setup, context); // checks that everything is there before it loads anything
    const result = await trainRun(run, setup, { ...options, signal }, line);
    process.exitCode = exitCodeOf(result.reason) || undefined;
  } catch (error) {
    reportFailure(error);
  } finally {
    line.end();
    release();
  }
}
