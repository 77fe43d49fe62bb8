/** Checkpoints in a folder, each a folder of its own whose write is atomic. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import { type Checkpoint, CheckpointStateError, type CheckpointStore } from '../checkpoint/store';
import type { Params } from '../policy';
import { oneProcess, type ProcessGroup } from '../process-group';
import { checkpointEpoch, checkpointName, listCheckpoints, REPLACED, WRITING } from './checkpoint-names';
import { acquireLease, type HeldLease, type LeaseOptions } from './lease';
import { FORMAT_VERSION, formatState, openRunCheckpoint } from './open-checkpoint';
import { fileOf, ownPieces } from './pieces';

/**
 * Parts that are written at a time. One alone waits in turn for its device, its checksum and the disk; each of them has two of its
 * tensors in memory.
 */
const WRITERS = 3;

/**
 * The checkpoints `<folder>/epoch-<n>`: weights, AdamW's moments, the average and the algorithm's copies as safetensors;
 * counters, configuration, setup and checksums in state.json. `open` takes the path of a checkpoint elsewhere, too. A lease
 * in the folder keeps other runs out while one writes there.
 *
 * Where several processes train, each has such a store on one folder that all of them see. Each writes the parts of its own
 * devices; process 0 has the lease, and makes the checkpoint whole by one rename. Any number of processes can read it.
 *
 * @param lease how the lease is taken, or one that the caller has and gives back
 */
export function checkpointFolder(
  folder: string,
  lease: LeaseOptions | HeldLease = {},
  group: ProcessGroup = oneProcess,
): CheckpointStore {
  let held: HeldLease | undefined;
  const isFirst = group.processId === 0;
  /** What process 0 makes of the folder, in all processes. */
  const byFirst = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    if (group.numProcesses === 1) return work();
    const done = isFirst ? await outcome(work) : {};
    const [first] = await group.gatherJson(`${what} ${folder}`, done);
    return resultOf(first!);
  };
  return {
    async acquire() {
      if (!isFirst) return async () => {};
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
    recover: () => byFirst('recover', () => recover(folder)),
    list: async () => {
      const names = await byFirst('list', () => listCheckpoints(folder));
      return names.map((name) => ({ name, epoch: checkpointEpoch(name), place: join(folder, name) }));
    },
    async save(checkpoint, keep) {
      const temporary = await byFirst('begin', async () => {
        await held?.check();
        return beginSave(folder).catch(explain(folder));
      });
      // Every process says how it went, so that all of them fail where one did.
      const own = await outcome(() => writeParts(temporary, checkpoint, group).catch(explain(folder)));
      const all = group.numProcesses === 1 ? [own] : await group.gatherJson(`write ${temporary}`, own);
      await byFirst('commit', async () => {
        try {
          const sha256 = Object.assign({}, ...all.map(resultOf)) as Record<string, string>;
          await commitSave(folder, temporary, checkpoint, sha256, keep);
        } catch (error) {
          await rm(temporary, { recursive: true, force: true });
          return explain(folder)(error);
        }
      });
    },
    open: async (name) =>
      openRunCheckpoint((await listCheckpoints(folder)).includes(name) ? join(folder, name) : resolve(name)),
    archiveLaterCheckpoints: (epoch) =>
      byFirst('archive', async () => (await archiveLaterCheckpoints(folder, epoch)) ?? undefined),
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

/** An outcome that another process can be told. */
interface Outcome<T> {
  readonly result?: T;
  readonly error?: string;
  /** In this process alone. */
  readonly thrown?: unknown;
}

async function outcome<T>(work: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { result: await work() };
  } catch (error) {
    return Object.defineProperty({ error: (error as Error).message }, 'thrown', { value: error });
  }
}

/** @throws this process's own error, or another's as a CheckpointStateError */
function resultOf<T>({ result, error, thrown }: Outcome<T>): T {
  if (thrown !== undefined) throw thrown;
  if (error !== undefined) throw new CheckpointStateError(error);
  return result as T;
}

/**
 * A folder under a temporary name, which is renamed when every file is on the disk, so a kill at any moment leaves the older
 * checkpoints good.
 */
async function beginSave(folder: string): Promise<string> {
  makeFolder(folder);
  const temporary = join(folder, `${WRITING}${randomBytes(6).toString('hex')}`);
  await mkdir(temporary);
  return temporary;
}

/** Writes what this process has of a checkpoint; gives the checksums of its files. */
async function writeParts(
  temporary: string,
  { run, parts }: Checkpoint,
  group: ProcessGroup,
): Promise<Record<string, string>> {
  const alone = group.numProcesses === 1;
  const entries = Object.entries(parts);
  const checksums: Record<string, string>[] = entries.map(() => ({}));
  const failed = new AbortController(); // the first failure ends all writers, with its error
  const write = async (i: number, part: string, params: Params) => {
    const { tensors, pieces } = alone ? { tensors: params, pieces: {} } : await ownPieces(params);
    if (!alone && Object.keys(tensors).length === 0) return;
    const stem = fileOf(part, group.processId);
    const hash = createHash('sha256');
    await saveSafetensors(join(temporary, `${stem}.safetensors`), tensors, {
      metadata: { epoch: String(run.epoch), ...pieces },
      onBytes(bytes) {
        failed.signal.throwIfAborted();
        hash.update(bytes);
      },
    });
    checksums[i] = { [stem]: hash.digest('hex') };
  };
  const waiting = entries.entries(); // each writer takes the next
  const writer = async () => {
    for (const [i, [part, params]] of waiting) {
      failed.signal.throwIfAborted();
      await write(i, part, params).catch((error: unknown) => {
        failed.abort(error);
        throw error;
      });
    }
  };
  // One alone where there are others: it has all pieces of a part in memory.
  await Promise.allSettled(Array.from({ length: alone ? WRITERS : 1 }, writer));
  failed.signal.throwIfAborted();
  return Object.assign({}, ...checksums);
}

async function commitSave(
  folder: string,
  temporary: string,
  { run, config, setup }: Checkpoint,
  sha256: Record<string, string>,
  keep: number,
): Promise<void> {
  const name = checkpointName(run.epoch);
  const target = join(folder, name);
  const state = formatState({ formatVersion: FORMAT_VERSION, run, config, setup, sha256 });
  await writeDurably(join(temporary, 'state.json'), state);
  const replaced = join(folder, `${REPLACED}${name}`);
  const hadOne = await rename(target, replaced).then(() => true, ignoreMissing);
  await rename(temporary, target).catch(async (error: unknown) => {
    if (hadOne) await rename(replaced, target);
    throw error;
  });
  await syncFolder(folder);
  await rm(replaced, { recursive: true, force: true });
  const stale = (await listCheckpoints(folder)).slice(0, -keep);
  for (const old of stale) await rm(join(folder, old), { recursive: true, force: true });
}

/** They go into a folder of their own beside the run's. */
async function archiveLaterCheckpoints(folder: string, epoch: number): Promise<string | undefined> {
  const later = (await listCheckpoints(folder)).filter((name) => checkpointEpoch(name) > epoch);
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

const explain =
  (folder: string) =>
  (error: unknown): never => {
    if (!isDiskFull(error)) throw error;
    throw new CheckpointStateError(
      `No space left for a checkpoint in ${folder}; earlier ones are intact. Free some space, or lower keepCheckpoints.`,
    );
  };

function ignoreMissing(error: NodeJS.ErrnoException): false {
  if (error.code !== 'ENOENT') throw error;
  return false;
}

function ignoreExisting(error: NodeJS.ErrnoException): false {
  if (error.code !== 'EEXIST') throw error;
  return false;
}
