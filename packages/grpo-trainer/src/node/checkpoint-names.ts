/** Names in a folder of checkpoints. */
import { readdir } from 'node:fs/promises';

/** A complete one, one being written, one that makes room for its successor. */
const COMPLETE = /^epoch-\d{6,}$/;
export const WRITING = '.tmp-';
export const REPLACED = '.replaced-';

/** Whether a folder of this name is a complete checkpoint. */
export const isCheckpointName = (name: string): boolean => COMPLETE.test(name);

/** Names of complete checkpoints, oldest first. */
export async function listCheckpoints(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  return names.filter(isCheckpointName).sort((a, b) => checkpointEpoch(a) - checkpointEpoch(b));
}

/** The name of the checkpoint after `epoch` epochs. */
export const checkpointName = (epoch: number) => `epoch-${String(epoch).padStart(6, '0')}`;

/** The epoch in a checkpoint's name or path; 0 for other names. */
export function checkpointEpoch(name: string): number {
  return Number(/epoch-(\d+)[\\/]?$/.exec(name)?.[1] ?? 0);
}
