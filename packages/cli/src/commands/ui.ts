/** flow-grpo ui */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { abortOnSignals } from '@flow-grpo/grpo-trainer/node';
import { serveRuns } from '../page/server';
import { checkRunFolder } from '../run/output-folder';

export interface UiCommandOptions {
  readonly port: number;
  readonly host: string;
  readonly allowHost: readonly string[];
}

/** How often the folders are read again: another process may be writing to them. */
const LOOK_MS = 2000;

/**
 * Serves the page of finished or running runs, by their folders, until it is interrupted.
 *
 * @throws {ConfigError} for a folder without a run, and a port that is taken
 */
export async function uiCommand(folders: readonly string[], options: UiCommandOptions): Promise<void> {
  const { signal, release } = abortOnSignals(() => {});
  try {
    await serveUntil(signal, folders, options, (text) => console.log(text));
  } finally {
    release();
  }
}

/**
 * Serves the page until the signal is aborted.
 *
 * @param tell called with the page's address
 */
export async function serveUntil(
  signal: AbortSignal,
  folders: readonly string[],
  { port, host, allowHost }: UiCommandOptions,
  tell: (text: string) => void,
): Promise<void> {
  for (const folder of folders) await checkRunFolder(folder);
  const ui = await serveRuns(folders, { port, host, allowedHosts: allowHost }).catch((error: Error) => {
    throw new ConfigError(error.message);
  });
  tell(`${ui.url}\nPress Ctrl-C to stop.`);
  let seen: number | undefined;
  while (!signal.aborted) {
    const changes = await Promise.all(folders.map(lastChange));
    const latest = Math.max(...changes);
    if (latest !== seen) {
      seen = latest;
      if (latest > 0) ui.status(`Last change: ${new Date(latest).toLocaleString()}`);
      ui.changed();
    }
    await sleep(LOOK_MS, undefined, { signal }).catch(() => {}); // aborted
  }
  await ui.close('The page is no longer served.');
}

/** When a run's records last changed; 0 where there are none yet. */
async function lastChange(folder: string): Promise<number> {
  const times = ['metrics.jsonl', 'evaluations.jsonl', 'outcome.json'].map((name) =>
    stat(join(folder, name)).then(
      ({ mtimeMs }) => mtimeMs,
      () => 0,
    ),
  );
  return Math.max(...(await Promise.all(times)));
}
