/** Compiled programs: one a module text in memory, and on disk between runs. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, homedir } from 'node:os';
import { join } from 'node:path';
import type { CompileOptions, PjrtClient, PjrtExecutable } from '@flow-grpo/pjrt';
import { client } from './client';
import { currentSettings } from './settings';

/** Programs that compile faster than this are not written to disk: a file would cost as much. */
const WORTH_KEEPING_MS = 100;

const loaded = new Map<string, PjrtExecutable>();
const compiling = new Map<string, Promise<PjrtExecutable>>();
const stats = { compiled: 0, loadedFromDisk: 0, written: 0 };

/** How many programs this process has compiled, read from disk and written to disk. */
export const compilationStats = (): Readonly<typeof stats> => ({ ...stats });

/** The executable of a module, compiled when it is not known yet; blocks meanwhile. */
export function executable(text: string, name: string, partitions = 1): PjrtExecutable {
  const key = programKey(text, partitions);
  const known = loaded.get(key);
  if (known) return known;
  const fromDisk = readCache(key);
  if (fromDisk) return keep(key, fromDisk);
  const start = performance.now();
  try {
    const made = client().compileSync(text, compileOptions(partitions));
    return keep(key, made, performance.now() - start);
  } catch (error) {
    throw named(error, name);
  }
}

/** The same on a worker thread. */
export async function executableAsync(text: string, name: string, partitions = 1): Promise<PjrtExecutable> {
  const key = programKey(text, partitions);
  const known = loaded.get(key) ?? compiling.get(key);
  if (known) return known;
  const work = (async () => {
    const fromDisk = await readCacheAsync(key);
    if (fromDisk) return keep(key, fromDisk);
    const start = performance.now();
    try {
      const made = await client().compile(text, compileOptions(partitions));
      return loaded.get(key) ?? keep(key, made, performance.now() - start);
    } catch (error) {
      throw named(error, name);
    }
  })();
  compiling.set(key, work);
  try {
    return await work;
  } finally {
    compiling.delete(key);
  }
}

/** Drops the programs in memory: the next use reads or compiles them again. */
export const forgetPrograms = (): void => loaded.clear();

function compileOptions(partitions: number): CompileOptions {
  return { numPartitions: partitions, debugOptions: debugOptions() };
}

/** Trying Triton kernels for every matrix product multiplies compile times and gains nothing over cuBLAS here. */
const CUDA_DEFAULTS = { xla_gpu_enable_triton_gemm: false };

function debugOptions(): NonNullable<CompileOptions['debugOptions']> {
  const defaults = client().platformName === 'cuda' ? CUDA_DEFAULTS : {};
  return { ...defaults, ...currentSettings().debugOptions };
}

function keep(key: string, made: PjrtExecutable, compileMs?: number): PjrtExecutable {
  loaded.set(key, made);
  if (compileMs !== undefined) {
    stats.compiled++;
    if (compileMs >= WORTH_KEEPING_MS) writeCache(key, made);
  }
  return made;
}

let identity: { client: PjrtClient; text: string } | undefined;

/** What a serialized program depends on besides its text. */
function environmentIdentity(): string {
  const now = client();
  if (identity?.client !== now) {
    const { size, mtimeMs } = statSync(now.pluginPath);
    const { major, minor } = now.apiVersion;
    const text = JSON.stringify([
      now.platformName,
      now.platformVersion,
      `${major}.${minor}`,
      now.pluginPath,
      size,
      mtimeMs,
      now.devices.map((device) => device.kind),
      cpus()[0]?.model,
      process.arch,
      Object.entries(debugOptions()).map(([k, v]) => [k, String(v)]),
      process.env.XLA_FLAGS,
    ]);
    identity = { client: now, text };
  }
  return identity.text;
}

function programKey(text: string, partitions: number): string {
  return createHash('sha256')
    .update(environmentIdentity())
    .update(`|${partitions}|`)
    .update(text)
    .digest('hex');
}

/** The folder of compiled programs, undefined when switched off. */
export function cacheFolder(): string | undefined {
  const { compilationCache } = currentSettings();
  const chosen = compilationCache ?? process.env.FLOW_GRPO_XLA_CACHE;
  if (chosen === false || chosen === 'off' || chosen === '0') return undefined;
  if (chosen) return chosen;
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'flow-grpo', 'xla');
}

const MAGIC = 'flow-grpo-xla-1\n';

/** File contents: magic, sha256 of the program (hex), newline, the program. */
function cachedBytes(key: string): Buffer | undefined {
  const folder = cacheFolder();
  if (!folder) return undefined;
  let bytes: Buffer;
  try {
    bytes = readFileSync(join(folder, key));
  } catch {
    return undefined;
  }
  const head = MAGIC.length + 65;
  const body = bytes.subarray(head);
  const expected = `${MAGIC}${createHash('sha256').update(body).digest('hex')}\n`;
  return bytes.toString('latin1', 0, head) === expected ? body : undefined;
}

function readCache(key: string): PjrtExecutable | undefined {
  const bytes = cachedBytes(key);
  if (!bytes) return undefined;
  try {
    const program = client().deserialize(bytes);
    stats.loadedFromDisk++;
    return program;
  } catch {
    return undefined;
  }
}

async function readCacheAsync(key: string): Promise<PjrtExecutable | undefined> {
  const bytes = cachedBytes(key);
  if (!bytes) return undefined;
  try {
    const program = await client().deserializeAsync(bytes);
    stats.loadedFromDisk++;
    return program;
  } catch {
    return undefined;
  }
}

let temporary = 0;

/** Written beside and renamed, so that another process never reads half a file. A full disk costs the cache only. */
function writeCache(key: string, program: PjrtExecutable): void {
  const folder = cacheFolder();
  if (!folder) return;
  const unfinished = join(folder, `${key}.${process.pid}.${temporary++}`);
  try {
    mkdirSync(folder, { recursive: true });
    const body = program.serialize();
    const digest = createHash('sha256').update(body).digest('hex');
    writeFileSync(unfinished, Buffer.concat([Buffer.from(`${MAGIC}${digest}\n`, 'latin1'), body]));
    renameSync(unfinished, join(folder, key));
    stats.written++;
  } catch {
    rmSync(unfinished, { force: true });
  }
}

/** The same error with the name of the operation that it came from. */
export function named(error: unknown, name: string): unknown {
  if (error instanceof Error) error.message = `${name}: ${error.message}`;
  return error;
}
