/** Names in a folder of checkpoints. */
import { readdir } from 'node:fs/promises';

/** A complete one, one being written, one that makes room for its successor. */
const COMPLETE = /^epoch-\d{6,}$/;
export const WRITING = '.tmp-';
export const REPLACED = '.replaced-';

/** Names of complete checkpoints, oldest first. */
export async function listRuns(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  return names.filter((name) => COMPLETE.test(name)).sort((a, b) => epochOf(a) - epochOf(b));
}

/** The name of the checkpoint after `epoch` epochs. */
export const nameOf = (epoch: number) => `epoch-${String(epoch).padStart(6, '0')}`;

/** The epoch in a checkpoint's name or path; 0 for other names. */
export function epochOf(name: string): number {
  return Number(/epoch-(\d+)[\\/]?$/.exec(name)?.[1] ?? 0);
}
