/** Profiles some epochs of a run, writes their trace, and tells where the time went. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Scorer } from '@flow-grpo/grpo-trainer';
import { chromeTrace } from './chrome-trace';
import { profileTable } from './profile-table';
import { profiler, TRACKS } from './profiler';

export interface ProfiledEpochs {
  readonly scorer: Scorer;
  /** The trainer turns to something else. */
  onPhase(name: string): void;
  /** To be called after every epoch. */
  onEpoch(): Promise<void>;
  /** What was seen until now, when the run ends early. */
  close(): Promise<void>;
}

/** Files in the run's folder. */
export const TRACE_FILE = 'trace.json';
export const PROFILE_FILE = 'profile.json';

/**
 * Watches `count` epochs after the first one, which compiles; the first one too where the run has no more than `count`.
 *
 * @param left epochs that the run will do from now on.
 */
export function profiledEpochs(
  folder: string,
  scorer: Scorer,
  { count, left, onMessage }: { count: number; left: number; onMessage: (message: string) => void },
): ProfiledEpochs {
  const watcher = profiler();
  const skipped = left > count ? 1 : 0;
  let done = 0;
  let over = false;
  if (skipped === 0) watcher.start();
  const finish = async () => {
    over = true;
    const profile = await watcher.finish();
    if (profile.epochs === 0) return;
    const { spans, ...summary } = profile;
    const trace = join(folder, TRACE_FILE);
    await writeFile(trace, chromeTrace(spans, TRACKS));
    await writeFile(join(folder, PROFILE_FILE), `${JSON.stringify(summary, null, 2)}\n`);
    onMessage(`${profileTable(profile)}\ntrace: ${trace} (for ui.perfetto.dev or chrome://tracing)`);
  };
  return {
    scorer: watcher.watch(scorer),
    onPhase: watcher.onPhase,
    async onEpoch() {
      if (over) return;
      done++;
      if (done > skipped) watcher.onEpoch();
      if (done === skipped) watcher.start();
      else if (done === skipped + count) await finish();
    },
    async close() {
      if (!over) await finish();
    },
  };
}
