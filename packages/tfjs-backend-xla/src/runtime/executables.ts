/** Compiled programs: one a module text in memory, and on disk between runs. */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { cpus } from 'node:os';
import type { CompileOptions, PjrtClient, PjrtExecutable } from '@flow-grpo/pjrt';
import { client } from './client';
import { readProgram, writeProgram } from './program-cache';
import { currentSettings } from './settings';

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
  try {
    return keepCompiled(key, client().compileSync(text, compileOptions(partitions)));
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
    try {
      const made = await client().compile(text, compileOptions(partitions));
      return loaded.get(key) ?? keepCompiled(key, made);
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

/** The fast way of taking maxima and minima loses NaN, depending on which operand has it. */
const CPU_DEFAULTS = { xla_cpu_enable_fast_min_max: false };

const DEFAULTS: Readonly<Record<string, CompileOptions['debugOptions']>> = {
  cpu: CPU_DEFAULTS,
  cuda: CUDA_DEFAULTS,
};

function debugOptions(): NonNullable<CompileOptions['debugOptions']> {
  return { ...DEFAULTS[client().platformName], ...currentSettings().debugOptions };
}

function keep(key: string, made: PjrtExecutable): PjrtExecutable {
  loaded.set(key, made);
  return made;
}

function keepCompiled(key: string, made: PjrtExecutable): PjrtExecutable {
  stats.compiled++;
  if (writeProgram(key, () => made.serialize())) stats.written++;
  return keep(key, made);
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

function readCache(key: string): PjrtExecutable | undefined {
  const bytes = readProgram(key);
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
  const bytes = readProgram(key);
  if (!bytes) return undefined;
  try {
    const program = await client().deserializeAsync(bytes);
    stats.loadedFromDisk++;
    return program;
  } catch {
    return undefined;
  }
}

/** The same error with the name of the operation that it came from. */
export function named(error: unknown, name: string): unknown {
  if (error instanceof Error) error.message = `${name}: ${error.message}`;
  return error;
}
