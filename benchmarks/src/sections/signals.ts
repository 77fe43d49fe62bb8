/** SIGTERM in the first epoch of the recipe with all parameters: while its programs are compiled, and while they run. */
import { join } from 'node:path';
import { runCommand } from '../command';
import { report } from '../reporting';
import { inKeptFolder } from '../temporary';
import type { Workload } from '../workload';
import { filesIn, overridesOf, programsIn, trainingArguments } from './recipe';

const VARIANT = 'allParameters';

export const recipeSignals = (workload: Workload): Promise<void> =>
  inKeptFolder(async (folder) => {
    await filesIn(folder);
    for (const [name, seconds] of Object.entries(workload.signalSeconds)) {
      const output = `output=${join(folder, `run-signal-${name}`)}`;
      let sent: number | undefined;
      let waiting = false;
      const { status, errors } = await runCommand(
        trainingArguments([...overridesOf(workload, folder, VARIANT), output]),
        programsIn(join(folder, 'signals')),
        (text, child) => {
          if (waiting || !/compiling/.test(text)) return;
          waiting = true;
          setTimeout(() => {
            sent = performance.now();
            child.kill('SIGTERM');
          }, 1000 * seconds);
        },
      );
      report(`recipe.signal.${name}`, {
        afterSeconds: seconds,
        status,
        secondsToEnd: sent === undefined ? null : (performance.now() - sent) / 1000,
        said: errors.trim().split('\n').slice(-3).join(' | '),
      });
    }
  });
