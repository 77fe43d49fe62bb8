/** Compiled programs on disk, so that the second start of a program compiles nothing. */
import { createHash, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import { currentSettings } from './settings';

/** Beyond this the programs used least recently go. */
const LIMIT_BYTES = 4 * 2 ** 30;
const LIMIT_FILES = 50_000;
/** What pruning leaves, so that it is seldom. */
const KEPT_SHARE = 0.75;

const MAGIC = 'flow-grpo-xla-1\n';

/** The folder of compiled programs, undefined when switched off. */
export function cacheFolder(): string | undefined {
  const { compilationCache } = currentSettings();
  const chosen = compilationCache ?? process.env.FLOW_GRPO_XLA_CACHE;
  if (chosen === false || chosen === 'off' || chosen === '0') return undefined;
  if (chosen) return chosen;
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'flow-grpo', 'xla');
}

/**
 * The serialized program of that key, if it is there and whole. File contents: magic, sha256 of the program (hex),
 * newline, the program.
 */
export function readProgram(key: string): Buffer | undefined {
  const folder = cacheFolder();
  if (!folder) return undefined;
  const file = join(folder, key);
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch {
    return undefined;
  }
  const head = MAGIC.length + 65;
  const body = bytes.subarray(head);
  const expected = `${MAGIC}${createHash('sha256').update(body).digest('hex')}\n`;
  if (bytes.toString('latin1', 0, head) !== expected) return undefined;
  try {
    const now = new Date();
    utimesSync(file, now, now); // pruning goes by the last use
  } catch {
    // A folder that may only be read serves as well.
  }
  return body;
}

const pruned = new Set<string>();

/**
 * Keeps a serialized program; gives whether it could. Written beside and renamed, so that another process or thread never reads
 * half a file. Where that fails (a full disk, a path that is a file) it costs the cache only, and a warning once.
 */
export function writeProgram(key: string, serialize: () => Uint8Array): boolean {
  const folder = cacheFolder();
  if (!folder) return false;
  const unfinished = join(folder, `${key}.${randomUUID()}`);
  try {
    makeFolder(folder);
    if (!pruned.has(folder)) {
      pruned.add(folder);
      prunePrograms(folder);
    }
    const body = serialize();
    const digest = createHash('sha256').update(body).digest('hex');
    writeFileSync(unfinished, Buffer.concat([Buffer.from(`${MAGIC}${digest}\n`, 'latin1'), body]));
    renameSync(unfinished, join(folder, key));
    return true;
  } catch (error) {
    removeQuietly(unfinished);
    warnOnce(folder, error as NodeJS.ErrnoException);
    return false;
  }
}

function removeQuietly(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {
    // What lies below a file is not there.
  }
}

const warned = new Set<string>();

/** Without its cache a program compiles everything at every start, which nobody would guess the reason of. */
function warnOnce(folder: string, { message }: Error): void {
  if (warned.has(folder)) return;
  warned.add(folder);
  process.emitWarning(
    `Compiled programs cannot be kept in ${folder} (${message}), so every start compiles them again. Choose a folder that can be written with FLOW_GRPO_XLA_CACHE, or 'off'.`,
    { type: 'XlaCacheWarning' },
  );
}

/** Deletes the programs used least recently where there are too many; once a process and folder. */
export function prunePrograms(folder: string, limitBytes = LIMIT_BYTES, limitFiles = LIMIT_FILES): void {
  const names = readdirSync(folder);
  const files = names.flatMap((name) => {
    const path = join(folder, name);
    const stats = statSync(path, { throwIfNoEntry: false });
    return stats?.isFile() ? [{ path, size: stats.size, used: stats.mtimeMs }] : [];
  });
  let [bytes, count] = [files.reduce((sum, { size }) => sum + size, 0), files.length];
  if (bytes <= limitBytes && count <= limitFiles) return;
  files.sort((a, b) => a.used - b.used);
  for (const { path, size } of files) {
    if (bytes <= KEPT_SHARE * limitBytes && count <= KEPT_SHARE * limitFiles) return;
    rmSync(path, { force: true });
    bytes -= size;
    count--;
  }
}
