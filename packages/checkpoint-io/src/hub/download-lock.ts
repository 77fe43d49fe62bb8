/** One download of a file at a time, over all processes that share a cache. */
import { randomUUID } from 'node:crypto';
import { link, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';

/** Whose a lock is; the file's time says when it was last renewed. */
interface Owner {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
}

export interface LockTimes {
  /** Between two looks at somebody else's lock, and between two renewals of your own. */
  readonly lookMs: number;
  readonly renewMs: number;
  /** A lock that is not renewed for so long while it is watched was left by a process that is gone. */
  readonly staleMs: number;
}

const TIMES: LockTimes = { lookMs: 250, renewMs: 5000, staleMs: 60_000 };

/** Locks of this process: one with its process id that is not among them is an earlier process's, as containers have. */
const own = new Set<string>();

/**
 * Runs `work` while no other process, and no other call in this one, runs it for the same `file`. `isDone` is asked
 * whenever somebody else had the lock: they may have done the work.
 */
export async function locked(
  file: string,
  isDone: () => Promise<boolean>,
  work: () => Promise<void>,
  signal?: AbortSignal,
  times: LockTimes = TIMES,
): Promise<void> {
  const lock = `${file}.lock`;
  const owner: Owner = { id: randomUUID(), host: hostname(), pid: process.pid };
  while (!(await take(lock, owner, times))) {
    await waitForOther(lock, times, signal);
    if (await isDone()) return;
  }
  own.add(owner.id);
  const renewal = setInterval(() => {
    const now = new Date();
    utimes(lock, now, now).catch(() => {});
  }, times.renewMs);
  renewal.unref();
  try {
    // Done between the caller's look and the lock.
    if (!(await isDone())) await work();
  } finally {
    clearInterval(renewal);
    own.delete(owner.id);
    if ((await read(lock))?.id === owner.id) await rm(lock, { force: true });
  }
}

/** Makes the lock ours where there is none, or one that its process left behind. */
async function take(lock: string, owner: Owner, { lookMs }: LockTimes): Promise<boolean> {
  const beside = `${lock}.${owner.id}`;
  await writeFile(beside, JSON.stringify(owner));
  try {
    await link(beside, lock);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EEXIST' && (await renewedAt(lock)) === undefined) {
      // No links on this file system.
      await rename(beside, lock);
      return true;
    }
    if (!isAbandoned(await read(lock))) return false;
    await rename(beside, lock);
    // Others may have found it abandoned at the same moment: the file says who was last.
    await wait(lookMs);
    return (await read(lock))?.id === owner.id;
  } finally {
    await rm(beside, { force: true });
  }
}

/** Returns when the lock is gone, another's, or has not been renewed for long: it is removed then. */
async function waitForOther(
  lock: string,
  { lookMs, staleMs }: LockTimes,
  signal: AbortSignal | undefined,
): Promise<void> {
  const first = await renewedAt(lock);
  if (first === undefined) return; // given back since we tried to take it
  for (const until = Date.now() + staleMs; Date.now() < until; ) {
    await wait(lookMs, undefined, { signal });
    if ((await renewedAt(lock)) !== first || isAbandoned(await read(lock))) return;
  }
  await rm(lock, { force: true });
}

/** Whether a lock is that of a process of this machine that has ended. */
function isAbandoned(owner: Owner | undefined): boolean {
  if (owner?.host !== hostname()) return false;
  if (owner.pid === process.pid) return !own.has(owner.id);
  try {
    process.kill(owner.pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

/** The owner; undefined where there is none, or a lock that says nothing. */
const read = async (lock: string): Promise<Owner | undefined> => {
  try {
    return JSON.parse(await readFile(lock, 'utf8')) as Owner;
  } catch {
    return undefined;
  }
};

const renewedAt = (lock: string): Promise<number | undefined> =>
  stat(lock).then(
    ({ mtimeMs }) => mtimeMs,
    () => undefined,
  );
