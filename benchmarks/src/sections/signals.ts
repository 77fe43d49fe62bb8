/**
 * SIGTERM in the first epoch of the recipe with all parameters: while its programs are compiled, before its first optimizer step,
 * and after it.
 */
import { join } from 'node:path';
import { runCommand } from '../command';
import { report } from '../reporting';
import { inKeptFolder } from '../temporary';
import type { Workload } from '../workload';
import { filesIn, programsIn } from './recipe';
import { overridesOf, trainingArguments } from './recipe-run';

const VARIANT = 'allParameters';

/** What the run's live page shows when a moment comes. */
const MOMENTS: Readonly<Record<keyof Workload['signalSeconds'], RegExp>> = {
  compiling: /compiling \w/,
  firstUpdate: /epoch 1\/\d+ +update 1\//,
  secondUpdate: /epoch 1\/\d+ +update 2\//,
};

export const recipeSignals = (workload: Workload): Promise<void> =>
  inKeptFolder(async (folder) => {
    await filesIn(folder);
    for (const [name, seconds] of Object.entries(workload.signalSeconds)) {
      const moment = MOMENTS[name as keyof typeof MOMENTS];
      const output = `output=${join(folder, `run-signal-${name}`)}`;
      let sent: number | undefined;
      let page: string | undefined;
      const { status, errors } = await runCommand(
        [...trainingArguments([...overridesOf(workload, folder, VARIANT), output]), '--ui'],
        programsIn(join(folder, 'signals')),
        (text, child) => {
          if (page !== undefined) return;
          page = /live page: (\S+)/.exec(text)?.[1];
          if (page === undefined) return;
          const send = () => {
            sent = performance.now();
            child.kill('SIGTERM');
          };
          void shown(page, moment).then(
            (came) => came && setTimeout(send, 1000 * seconds),
            () => {}, // the page is gone: the moment never came, and the case says so
          );
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

/** Resolves once a run's live page shows such a text; with false where it ends before. */
async function shown(page: string, text: RegExp): Promise<boolean> {
  const events = await fetch(new URL('events', page));
  const reader = events.body!.pipeThrough(new TextDecoderStream()).getReader();
  let seen = '';
  for (;;) {
    // A run that is killed breaks off; one that ends closes its page.
    const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }));
    if (done) return false;
    seen += value;
    if (text.test(seen)) return true;
  }
}
