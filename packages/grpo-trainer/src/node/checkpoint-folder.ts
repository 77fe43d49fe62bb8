/** Checkpoints in a folder, each a folder of its own whose write is atomic. */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import { type Checkpoint, CheckpointStateError, type CheckpointStore } from '../checkpoint/store';
import { epochOf, listRuns, nameOf, REPLACED, WRITING } from './checkpoint-names';
import { acquireLease, type HeldLease, type LeaseOptions } from './lease';
import { FORMAT_VERSION, formatState, hashFile, openCheckpoint } from './open-checkpoint';

/**
 * The checkpoints `<folder>/epoch-<n>`: weights, AdamW's moments, the average and the algorithm's copies as safetensors;
 * counters, configuration, setup and checksums in state.json. `open` takes the path of a checkpoint elsewhere, too. A lease
 * in the folder keeps other runs out while one writes there.
 *
 * @param lease how the lease is taken, or one that the caller has and gives back
 */
export function checkpointFolder(folder: string, lease: LeaseOptions | HeldLease = {}): CheckpointStore {
  let held: HeldLease | undefined;
  return {
    async acquire() {
      if ('release' in lease) {
        held = lease;
        return async () => {};
      }
      const mine = await acquireLease(folder, lease);
      held = mine;
      return async () => {
        held = undefined;
        await mine.release();
      };
    },
    recover: () => recover(folder),
    list: async () =>
      (await listRuns(folder)).map((name) => ({ name, epoch: epochOf(name), place: join(folder, name) })),
    async save(checkpoint, keep) {
      await held?.check();
      await save(folder, checkpoint, keep);
    },
    open: async (name) =>
      openCheckpoint((await listRuns(folder)).includes(name) ? join(folder, name) : resolve(name)),
    archiveLaterCheckpoints: (epoch) => archiveLaterCheckpoints(folder, epoch),
  };
}

/** What a killed save left half done is removed, and what it was about to replace comes back. */
async function recover(folder: string): Promise<void> {
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
 * The folder is filled under a temporary name and renamed when every file is on the disk, so a kill at any moment leaves
 * the older checkpoints good.
 */
async function save(folder: string, { run, config, setup, parts }: Checkpoint, keep: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  const name = nameOf(run.epoch);
  const target = join(folder, name);
  const temporary = join(folder, `${WRITING}${randomBytes(6).toString('hex')}`);
  try {
    await mkdir(temporary);
    const sha256: Record<string, string> = {};
    for (const [part, params] of Object.entries(parts)) {
      const file = join(temporary, `${part}.safetensors`);
      await saveSafetensors(file, params, { metadata: { epoch: String(run.epoch) } });
      sha256[part] = await hashFile(file);
    }
    const state = formatState({ formatVersion: FORMAT_VERSION, run, config, setup, sha256 });
    await writeDurably(join(temporary, 'state.json'), state);
    const replaced = join(folder, `${REPLACED}${name}`);
    await rename(target, replaced).catch(ignoreMissing);
    await rename(temporary, target);
    await syncFolder(folder);
    await rm(replaced, { recursive: true, force: true });
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw explain(error, folder);
  }
  const stale = (await listRuns(folder)).slice(0, -keep);
  for (const old of stale) await rm(join(folder, old), { recursive: true, force: true });
}

/** They go into a folder of their own beside the run's. */
async function archiveLaterCheckpoints(folder: string, epoch: number): Promise<string | undefined> {
  const later = (await listRuns(folder)).filter((name) => epochOf(name) > epoch);
  if (later.length === 0) return undefined;
  let archive = '';
  for (let n = 1; ; n++) {
    archive = `${folder}-archive-${n}`;
    if (await mkdir(archive).then(() => true, ignoreExisting)) break;
  }
  for (const name of later) await rename(join(folder, name), join(archive, name));
  return archive;
}

async function writeDurably(file: string, text: string): Promise<void> {
  const handle = await open(file, 'w');
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a rename durable; systems that cannot open folders do it by themselves. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {}
}

/** Whether the system refused to write because there is no room, or no more for this user. */
export function isDiskFull(error: unknown): error is NodeJS.ErrnoException {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

function explain(error: unknown, folder: string): unknown {
  if (!isDiskFull(error)) return error;
  return new CheckpointStateError(
    `No space left for a checkpoint in ${folder}; the earlier ones are good. Free some, or lower keepCheckpoints.`,
  );
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}

function ignoreExisting(error: NodeJS.ErrnoException): false {
  if (error.code !== 'EEXIST') throw error;
  return false;
}
