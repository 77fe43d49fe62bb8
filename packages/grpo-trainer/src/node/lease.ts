/** A lease on a folder: one run writes there at a time, and one that was killed does not keep the next one out. */
import { randomUUID } from 'node:crypto';
import { link, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import { CheckpointStateError } from '../checkpoint/store';

export interface LeaseOptions {
  /** Takes the folder from whoever has it. */
  readonly takeOver?: boolean;
  /** Told that the folder's last run may still be alive, while that is found out. */
  readonly onWait?: (message: string) => void;
  /** Milliseconds between renewals (10 s), and without one until a lease is void (60 s). */
  readonly renewMs?: number;
  readonly staleMs?: number;
}

const FILE = 'lease.json';
const RENEW_MS = 10_000;
const STALE_MS = 60_000;
/** How often somebody else's lease is looked at, while it is not clear whether its run is alive. */
const LOOK_MS = 500;

/** lease.json; its file time is that of the last renewal. */
interface Lease {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
}

/** Leases of this process: another one with its process id is that of an earlier process, in a container for example. */
const own = new Set<string>();

/** A folder that is ours. */
export interface HeldLease {
  /** @throws {CheckpointStateError} when another run has taken the folder over */
  check(): Promise<void>;
  /** Gives the folder back; harmless where somebody has taken it over. */
  release(): Promise<void>;
}

/**
 * Takes the folder, which is made where there is none. A lease of a process on this machine that has ended is void at once,
 * one of another machine when it has not been renewed for a minute: a restarted pod has another host name.
 *
 * @throws {CheckpointStateError} when a run has the folder that is alive, naming its machine and process
 */
export async function acquireLease(folder: string, options: LeaseOptions = {}): Promise<HeldLease> {
  const { takeOver = false, onWait, renewMs = RENEW_MS, staleMs = STALE_MS } = options;
  const file = join(folder, FILE);
  const lease: Lease = { id: randomUUID(), host: hostname(), pid: process.pid };
  makeFolder(folder);
  while (!(await create(file, lease))) {
    if (!takeOver) await waitUntilVoid(folder, file, staleMs, onWait);
    await replace(file, lease);
    // Others may have found it void at the same moment: the file says who was last.
    await wait(Math.min(LOOK_MS, staleMs / 10));
    if ((await read(file))?.id === lease.id) break;
  }
  own.add(lease.id);
  const stop = renew(file, lease.id, renewMs);
  return {
    async check() {
      const now = await read(file);
      if (now?.id === lease.id) return;
      throw new CheckpointStateError(
        `${folder} was taken over${now ? ` by ${who(now)}` : ''} while this run was using it: this run no longer writes there`,
      );
    },
    async release() {
      own.delete(lease.id);
      await stop();
      if ((await read(file))?.id === lease.id) await rm(file, { force: true });
    },
  };
}

/** Puts the lease there whole where there is none; false where there is. */
async function create(file: string, lease: Lease): Promise<boolean> {
  const beside = `${file}.${lease.id}`;
  await writeFile(beside, JSON.stringify(lease));
  try {
    await link(beside, file);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    // File systems without links: between two that start in the same millisecond the second would win.
    if ((await renewedAt(file)) !== undefined) return false;
    await rename(beside, file);
    return true;
  } finally {
    await rm(beside, { force: true });
  }
}

async function replace(file: string, lease: Lease): Promise<void> {
  const beside = `${file}.${lease.id}`;
  await writeFile(beside, JSON.stringify(lease));
  await rename(beside, file);
}

/** The lease; undefined where there is none, or none that can be read. */
async function read(file: string): Promise<Lease | undefined> {
  try {
    const lease = JSON.parse(await readFile(file, 'utf8')) as Partial<Lease> | null;
    return typeof lease?.id === 'string' ? (lease as Lease) : undefined;
  } catch {
    return undefined;
  }
}

/** Returns when the lease is void; throws when it is renewed meanwhile, or gone to another run. */
async function waitUntilVoid(
  folder: string,
  file: string,
  staleMs: number,
  onWait: LeaseOptions['onWait'],
): Promise<void> {
  const first = await read(file);
  const start = await renewedAt(file);
  if (start === undefined || (first && isEnded(first))) return;
  if (first && own.has(first.id)) throw inUse(folder, first);
  // A renewal in the future is one of before the clock was set back.
  const firstAge = Math.max(0, (await now(folder)) - start);
  if (firstAge >= staleMs) return;
  const seconds = Math.ceil((staleMs - firstAge) / 1000);
  onWait?.(
    `${folder} was in use ${Math.round(firstAge / 1000)} s ago by ${who(first)}: waiting up to ${seconds} s to see whether that run is alive`,
  );
  // By a clock that nobody sets, and that stands still while the machine sleeps: the other run could not renew then.
  for (const until = performance.now() + staleMs - firstAge; performance.now() < until; ) {
    await wait(Math.min(LOOK_MS, staleMs / 10));
    const current = await read(file);
    const renewed = await renewedAt(file);
    if (renewed === undefined || (current && isEnded(current))) return;
    if (current?.id !== first?.id || renewed !== start) throw inUse(folder, current);
  }
}

const who = (lease: Lease | undefined) => (lease ? `process ${lease.pid} on ${lease.host}` : 'another run');

function inUse(folder: string, lease: Lease | undefined): CheckpointStateError {
  return new CheckpointStateError(
    `${folder} is in use by ${who(lease)}: two runs in one folder would remove each other's checkpoints. Choose another folder, end that run, or take over the folder with --take-over`,
  );
}

/** Whether a lease is that of a process on this machine that has ended. */
function isEnded({ id, host, pid }: Lease): boolean {
  if (host !== hostname()) return false;
  if (pid === process.pid) return !own.has(id);
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

const renewedAt = async (file: string): Promise<number | undefined> =>
  stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => undefined,
  );

/** The time by the clock of the folder's file system, which other machines see too. */
async function now(folder: string): Promise<number> {
  const probe = join(folder, `.time-${randomUUID()}`);
  await writeFile(probe, '');
  try {
    return (await stat(probe)).mtimeMs;
  } finally {
    await rm(probe, { force: true });
  }
}

/** Runs in a thread of its own: compiling a large program blocks the event loop for minutes. */
const RENEWAL = `
  const { closeSync, openSync, readFileSync, writeSync } = require('node:fs');
  const { workerData: { file, id, ms } } = require('node:worker_threads');
  const timer = setInterval(() => {
    let handle;
    try {
      // By one handle, and not shorter on the way: who reads it always finds a whole lease, who replaced it keeps theirs.
      handle = openSync(file, 'r+');
      const text = readFileSync(handle, 'utf8');
      if (JSON.parse(text).id === id) writeSync(handle, text, 0);
      else clearInterval(timer);
    } catch {
    } finally {
      if (handle !== undefined) closeSync(handle);
    }
  }, ms);
`;

function renew(file: string, id: string, ms: number): () => Promise<void> {
  // Not with this process's own flags: `node --input-type=module` would make a module of it, loaders would load it.
  const worker = new Worker(RENEWAL, { eval: true, execArgv: [], workerData: { file, id, ms } });
  // Without renewals the lease goes stale, which `check` finds; the run must not end by it.
  worker.on('error', () => {});
  worker.unref();
  return async () => {
    await worker.terminate();
  };
}
