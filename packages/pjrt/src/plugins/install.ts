import { createHash } from 'node:crypto';
import { constants, createReadStream, existsSync } from 'node:fs';
import { access, mkdir, mkdtemp, readdir, rename, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import { formatBytes } from '../errors';
import { cacheFolder } from './cache';
import {
  CATALOGUE,
  type Distribution,
  distribution,
  type InstallName,
  installedLibrary,
  type Machine,
  thisMachine,
} from './catalogue';
import { downloadWheel, findPip } from './downloader';
import type { PinnedWheel } from './wheel';

export interface InstallOptions {
  /** Default: this process's. */
  environment?: Readonly<Record<string, string | undefined>> | undefined;
  machine?: Machine | undefined;
  catalogue?: Readonly<Record<InstallName, Readonly<Record<string, Distribution>>>> | undefined;
  /** Called with a sentence at each step. pip's own output goes to stderr. */
  onProgress?: ((message: string) => void) | undefined;
}

export interface InstalledPlugin {
  path: string;
  /** False when it was there already. */
  installed: boolean;
}

/**
 * Puts a pinned plugin into the package's cache: pip downloads it, its sha256 is checked, and the folder appears
 * complete or not at all. Does nothing when it is there.
 *
 * @throws Error that says what to do: no wheel for the machine, no pip, another hash, a full disk, a cache that cannot be written.
 */
export async function installPlugin(
  name: InstallName,
  options: InstallOptions = {},
): Promise<InstalledPlugin> {
  const { environment = process.env, machine = thisMachine(), catalogue = CATALOGUE } = options;
  const progress = options.onProgress ?? (() => {});
  const entry = distribution(name, machine, catalogue);
  const path = installedLibrary(entry, environment);
  if (existsSync(path)) return { path, installed: false };

  const pip = findPip(environment);
  const cache = cacheFolder(environment);
  try {
    makeFolder(cache);
    await access(cache, constants.W_OK);
  } catch (error) {
    throw new Error(
      `${cache} cannot be written (${(error as NodeJS.ErrnoException).code}). Set XDG_CACHE_HOME to a folder that you may write to.`,
      { cause: error },
    );
  }
  await checkSpace(cache, entry.diskBytes);
  await removeLeftovers(cache);
  const work = await mkdtemp(join(cache, `${WORK_PREFIX}${process.pid}-`));
  try {
    const unpacked = join(work, 'unpacked');
    for (const [index, wheel] of entry.wheels.entries()) {
      progress(`[${index + 1}/${entry.wheels.length}] Downloading ${wheel.name} ${wheel.version}`);
      const folder = join(work, wheel.name);
      await mkdir(folder);
      await downloadWheel(pip, wheel, machine.wheelArchitecture, folder, environment);
      const file = await verifiedWheel(folder, wheel);
      progress(`[${index + 1}/${entry.wheels.length}] Unpacking ${wheel.name} (sha256 matches)`);
      // Loaded here alone: looking for a plugin that is there already needs no zip reader.
      const { unpackWheel } = await import('./unpack');
      await unpackWheel(file, unpacked);
      await rm(folder, { recursive: true });
    }
    await publish(unpacked, join(cache, entry.folder));
  } catch (error) {
    throw explainDisk(error, cache);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  if (!existsSync(path))
    throw new Error(`${entry.folder} has no ${entry.library}: the wheel's layout is not known.`);
  return { path, installed: true };
}

/** Folders of installations under way are called .install-PID-RANDOM. */
const WORK_PREFIX = '.install-';

/** Removes what installations left that were killed: a gigabyte each for CUDA. */
async function removeLeftovers(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (!name.startsWith(WORK_PREFIX)) continue;
    const pid = Number(name.slice(WORK_PREFIX.length).split('-')[0]);
    if (!(Number.isInteger(pid) && isRunning(pid)))
      await rm(join(cache, name), { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // there, and somebody else's
  }
}

/** The wheel that pip left in `folder`, when its bytes are the pinned ones. */
async function verifiedWheel(folder: string, wheel: PinnedWheel): Promise<string> {
  const [name] = (await readdir(folder)).filter((each) => each.endsWith('.whl'));
  if (name === undefined) throw new Error(`pip downloaded no wheel for ${wheel.name} ${wheel.version}.`);
  const file = join(folder, name);
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  const found = hash.digest('hex');
  if (found === wheel.sha256) return file;
  throw new Error(
    `${name} has sha256 ${found}, expected ${wheel.sha256}: the index or a mirror serves a different file. Nothing was installed.`,
  );
}

/** Moves the finished folder to its name; when another process was faster, its folder stays. */
async function publish(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
}

async function checkSpace(folder: string, needed: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free < needed)
    throw new Error(fullDisk(folder, `${formatBytes(needed)} needed, ${formatBytes(free)} free`));
}

const explainDisk = (error: unknown, folder: string): unknown =>
  (error as NodeJS.ErrnoException).code === 'ENOSPC' ? new Error(fullDisk(folder, 'none left')) : error;

const fullDisk = (folder: string, detail: string) =>
  `The disk of ${folder} is too full (${detail}). Free some, or set XDG_CACHE_HOME to a folder on another disk.`;
