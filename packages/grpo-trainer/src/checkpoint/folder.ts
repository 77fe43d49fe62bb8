/** A folder of checkpoints: which there are, and in which order they come back after a kill. */
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Names in a folder of checkpoints: a complete one, one being written, one that makes room for its successor. */
const COMPLETE = /^epoch-\d{6,}$/;
export const WRITING = '.tmp-';
export const REPLACED = '.replaced-';

/** Names of complete checkpoints, oldest first. */
export async function listRuns(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  return names.filter((name) => COMPLETE.test(name)).sort(byEpoch);
}

/** The name of the checkpoint after `epoch` epochs. */
export const nameOf = (epoch: number) => `epoch-${String(epoch).padStart(6, '0')}`;

/** The epoch in a checkpoint's name or path; 0 for other names. */
export function epochOf(name: string): number {
  return Number(/epoch-(\d+)[\\/]?$/.exec(name)?.[1] ?? 0);
}

/** The newest of `names` that was saved after no more than `epochs` epochs, else the oldest. */
export function rollbackTarget(names: readonly string[], epochs: number): string | undefined {
  return names.filter((name) => epochOf(name) <= epochs).at(-1) ?? names[0];
}

/**
 * Puts a folder of checkpoints in order before a run goes on there: what a killed save left half done is removed, and
 * one that it was about to replace comes back. No other process may be writing there.
 */
export async function recoverRuns(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [] as string[]);
  for (const name of names) {
    const path = join(folder, name);
    if (name.startsWith(WRITING)) await rm(path, { recursive: true, force: true });
    if (!name.startsWith(REPLACED)) continue;
    const original = name.slice(REPLACED.length);
    if (names.includes(original)) await rm(path, { recursive: true, force: true });
    else await rename(path, join(folder, original));
  }
}

/**
 * Moves checkpoints of later epochs out of the way of a run that goes on at `epoch`, into a folder of their own beside
 * it: they would be taken for the newest, and the run's own removed before them.
 *
 * @returns where they are now; undefined when there were none.
 */
export async function setAsideAfter(folder: string, epoch: number): Promise<string | undefined> {
  const later = (await listRuns(folder)).filter((name) => epochOf(name) > epoch);
  if (later.length === 0) return undefined;
  let aside = '';
  for (let n = 1; ; n++) {
    aside = `${folder}-set-aside-${n}`;
    if (await mkdir(aside).then(() => true, ignoreExisting)) break;
  }
  for (const name of later) await rename(join(folder, name), join(aside, name));
  return aside;
}

const byEpoch = (a: string, b: string) => epochOf(a) - epochOf(b);

function ignoreExisting(error: NodeJS.ErrnoException): false {
  if (error.code !== 'EEXIST') throw error;
  return false;
}
