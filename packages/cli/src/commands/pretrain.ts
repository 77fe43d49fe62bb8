/** flow-grpo pretrain */
import { join } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import { abortOnSignals, acquireLease, isAbort, type SetupFingerprint } from '@flow-grpo/grpo-trainer/node';
import { plural } from '@flow-grpo/page-components/numbers';
import { duration } from '../logging/duration';
import { progressLine } from '../logging/progress-line';
import { pretrain } from '../pretrain/flow-matching';
import { setupFingerprint } from '../setup/fingerprint';
import { exitCodeOf, InterruptedError } from './failure';
import { need, openRun, type SharedOptions } from './shared';

export interface PretrainOptions extends SharedOptions {
  readonly takeOver?: boolean;
  readonly allowChanged?: readonly string[];
}

/** The names under which `--allow-changed` knows them. */
const inSetup = (fingerprint: SetupFingerprint): Record<string, string> =>
  Object.fromEntries(Object.entries(fingerprint).map(([name, text]) => [`setup.${name}`, text]));

export async function pretrainCommand(file: string | undefined, options: PretrainOptions): Promise<void> {
  const line = progressLine();
  const { signal, release } = abortOnSignals((name) =>
    line.note(`${name}: saving what is done, then exiting; repeat to exit now`),
  );
  try {
    const { run, made } = await openRun(file, options, { signal, onMessage: line.note });
    const work = need(made.pretrain, 'pretrain', run);
    const checkpoint = join(run.output, 'pretrain');
    const { takeOver = false, allowChanged = [] } = options;
    // Two in one folder would remove each other's checkpoints.
    const lease = await acquireLease(checkpoint, { takeOver, onWait: line.note });
    try {
      const setup = await setupFingerprint(run.setup, made, { signal });
      const result = await pretrain(work.params, work.velocity, work.batchAt, {
        checkpoint,
        beforeSave: lease.check,
        signal,
        onReport: ({ step, steps, loss, stepsPerSecond, secondsLeft }) =>
          line.log(
            `step ${step}/${steps}  loss ${loss.toFixed(5)}  ${stepsPerSecond.toFixed(1)} steps/s  ${duration(secondsLeft)} left`,
          ),
        ...work.options,
        fingerprint: { ...inSetup(setup), ...work.options.fingerprint },
        allowChanged: [...allowChanged, ...(work.options.allowChanged ?? [])],
      });
      if (result.reason === 'finished')
        await saveSafetensors(join(run.output, 'model.safetensors'), result.ema);
      line.note(`${result.reason} after ${plural(result.steps, 'step')}`);
      process.exitCode = exitCodeOf(result.reason) || undefined;
      const { reason, steps } = result;
      if (options.json) console.log(JSON.stringify({ reason, steps, output: run.output }));
    } finally {
      await lease.release();
    }
  } catch (error) {
    if (!isAbort(error, signal)) throw error;
    throw new InterruptedError('interrupted before pre-training started');
  } finally {
    line.end();
    release();
  }
}
