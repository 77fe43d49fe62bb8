/** Compiled programs: one per module text in memory, where those used least recently go, and on disk between runs. */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import type { CompileOptions, PjrtClient, PjrtExecutable } from '@flow-grpo/pjrt';
import type { Mesh } from '@flow-grpo/tfjs-jit/backend';
import { meshDevices } from '../parallel/devices';
import { client } from './client';
import { making, makingAsync, places } from './compilations';
import { type Limits, Lru } from './lru';
import { readProgram, writeProgram } from './program-cache';
import { currentSettings, type XlaOptions } from './settings';

/** Programs in memory: more than a training run has, few enough for a process that meets new shapes all day. */
const LIMITS: Limits = { count: 4096, bytes: 2 ** 31 };

/** A program being made, or waiting for its turn. */
interface Compilation {
  readonly work: Promise<PjrtExecutable>;
  /** Whether those who asked for it still want it. */
  readonly askers: (() => boolean)[];
}

const compiling = new Map<string, Compilation>();
const stats = { compiled: 0, loadedFromDisk: 0, written: 0, evicted: 0 };
const keys = new WeakMap<PjrtExecutable, string>();
let loaded = programs(LIMITS);

/** A program that runs is not unloaded. */
function programs(limits: Limits): Lru<string, PjrtExecutable> {
  return new Lru(limits, (program) => {
    if (program.isRunning) return false;
    program.dispose();
    stats.evicted++;
    return true;
  });
}

/** For tests: other limits, from an empty cache on. */
export function limitPrograms(limits: Limits = LIMITS): void {
  loaded.clear();
  loaded = programs(limits);
}

/**
 * Notes that a program is about to run. Returns false where it was unloaded, since others were used more recently: ask
 * `executable` for it again. Whoever keeps one asks at every run.
 */
export function inUse(program: PjrtExecutable): boolean {
  const key = keys.get(program);
  return key !== undefined && loaded.get(key) === program;
}

/** How many programs this process has compiled, read from disk, written to disk, and unloaded to make room. */
export const compilationStats = (): Readonly<typeof stats> => ({ ...stats });

/** The executable of a module over a mesh, or for one device, compiled when it is not known yet; blocks meanwhile. */
export function executable(text: string, name: string, mesh?: Mesh): PjrtExecutable {
  const key = programKey(text, mesh);
  const known = loaded.get(key);
  if (known) return known;
  return making(name, () => {
    const fromDisk = readCache(key);
    if (fromDisk) return fromDisk;
    try {
      const start = performance.now();
      const made = client().compileSync(text, compileOptions(mesh));
      warnIfSlow(name, performance.now() - start, text);
      return keepCompiled(key, made, text);
    } catch (error) {
      throw named(error, name);
    }
  });
}

/** Compilations at a time, each of which uses several threads at times. */
const compilations = places(Math.max(2, Math.min(8, availableParallelism())));

/**
 * The same on a thread of its own.
 *
 * @param isWanted asked when its turn comes, which may be long after
 */
export async function executableAsync(
  text: string,
  name: string,
  mesh: Mesh | undefined,
  isWanted: () => boolean = () => true,
): Promise<PjrtExecutable> {
  const key = programKey(text, mesh);
  const known = loaded.get(key);
  if (known) return known;
  const underWay = compiling.get(key);
  if (underWay) {
    underWay.askers.push(isWanted);
    return underWay.work;
  }
  const askers = [isWanted];
  const make = async (): Promise<PjrtExecutable> => {
    if (!askers.some((wants) => wants())) {
      compiling.delete(key); // so that nobody joins what is given up
      throw new Error(`${name} was not compiled: nobody waits for it`);
    }
    const fromDisk = await readCacheAsync(key);
    if (fromDisk) return fromDisk;
    try {
      const start = performance.now();
      const made = await client().compile(text, compileOptions(mesh));
      warnIfSlow(name, performance.now() - start, text);
      const meanwhile = loaded.get(key);
      if (!meanwhile) return keepCompiled(key, made, text);
      made.dispose();
      return meanwhile;
    } catch (error) {
      throw named(error, name);
    }
  };
  const work = makingAsync(name, () => compilations(make)).finally(() => {
    if (compiling.get(key)?.askers === askers) compiling.delete(key); // not what others began after this was given up
  });
  compiling.set(key, { work, askers });
  return work;
}

/** Milliseconds after which a compilation is worth a word. */
const SLOW = 30_000;

/** Says of a compilation that took long what makes one short. */
export function warnIfSlow(name: string, milliseconds: number, text: string): void {
  if (milliseconds < SLOW) return;
  const operations = text.match(/ = /g)?.length ?? 0;
  process.emitWarning(
    `${name} took ${Math.round(milliseconds / 1000)} s to compile: its program has ${operations} operations. Layers that repeat compile once when they are written as a scan (@flow-grpo/tfjs-jit).`,
    { type: 'XlaCompileWarning' },
  );
}

/** Unloads the programs in memory: the next use reads or compiles them again. */
export const forgetPrograms = (): void => loaded.clear();

function compileOptions(mesh: Mesh | undefined): CompileOptions {
  const ids = deviceIds(mesh);
  return {
    numPartitions: mesh?.size ?? 1,
    debugOptions: debugOptions(),
    ...(ids && { deviceAssignment: [ids] }),
  };
}

/** Where a program runs, where several processes share the devices: XLA's own choice would be the first ones of all. */
function deviceIds(mesh: Mesh | undefined): number[] | undefined {
  const { devices, allDevices } = client();
  if (devices.length === allDevices.length) return undefined;
  return (mesh ? meshDevices(mesh) : devices.slice(0, 1)).map(({ id }) => id);
}

/** Trying Triton kernels for every matrix product multiplies compile times and gains nothing over cuBLAS here. */
const CUDA_DEFAULTS = { xla_gpu_enable_triton_gemm: false };

/** The fast way of taking maxima and minima loses NaN, depending on which operand has it. */
const CPU_DEFAULTS = { xla_cpu_enable_fast_min_max: false };

const DEFAULTS: Readonly<Record<string, CompileOptions['debugOptions']>> = {
  cpu: CPU_DEFAULTS,
  cuda: CUDA_DEFAULTS,
};

/**
 * Each process tries algorithms for itself: those that share the trials wait for one another at every compilation, of programs
 * too that only one of them needs or finds in its cache.
 */
const SHARED_CUDA = { xla_gpu_shard_autotuning: false };

/**
 * Neither kernels whose sums have no fixed order, nor algorithms that are chosen by their times. `xla_gpu_deterministic_ops`, which
 * asks for both, ends the process where it meets a gradient with cuDNN's attention.
 */
const DETERMINISTIC_CUDA = { xla_gpu_exclude_nondeterministic_ops: true, xla_gpu_autotune_level: 0 };

/**
 * The debug options of programs on a platform.
 *
 * @param shared whether several processes share the devices
 */
export function debugOptionsOn(
  platform: string,
  shared: boolean,
  { deterministic, debugOptions }: Pick<XlaOptions, 'deterministic' | 'debugOptions'>,
): NonNullable<CompileOptions['debugOptions']> {
  return {
    ...DEFAULTS[platform],
    ...(platform === 'cuda' && { ...(shared && SHARED_CUDA), ...(deterministic && DETERMINISTIC_CUDA) }),
    ...debugOptions,
  };
}

function debugOptions(): NonNullable<CompileOptions['debugOptions']> {
  const { platformName, cluster } = client();
  return debugOptionsOn(platformName, cluster !== undefined, currentSettings());
}

/** `bytes` is what is known of its size on the host: plugins for CPUs do not say how large their code is. */
function keep(key: string, made: PjrtExecutable, bytes: number): PjrtExecutable {
  keys.set(made, key);
  loaded.add(key, made, Math.max(bytes, made.memoryStats()?.generatedCode ?? 0));
  return made;
}

function keepCompiled(key: string, made: PjrtExecutable, text: string): PjrtExecutable {
  stats.compiled++;
  let bytes = text.length;
  const serialize = () => {
    const serialized = made.serialize();
    bytes = serialized.length;
    return serialized;
  };
  if (writeProgram(key, serialize)) stats.written++;
  return keep(key, made, bytes);
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

function programKey(text: string, mesh: Mesh | undefined): string {
  const ids = deviceIds(mesh);
  return createHash('sha256')
    .update(environmentIdentity())
    .update(`|${mesh?.size ?? 1}|`)
    .update(ids ? `${ids}|` : '')
    .update(text)
    .digest('hex');
}

function readCache(key: string): PjrtExecutable | undefined {
  const bytes = readProgram(key);
  if (!bytes) return undefined;
  try {
    const program = client().deserialize(bytes);
    stats.loadedFromDisk++;
    return keep(key, program, bytes.length);
  } catch {
    return undefined;
  }
}

async function readCacheAsync(key: string): Promise<PjrtExecutable | undefined> {
  const bytes = readProgram(key);
  if (!bytes) return undefined;
  try {
    const program = await client().deserializeAsync(bytes);
    const meanwhile = loaded.get(key);
    if (meanwhile) {
      program.dispose();
      return meanwhile;
    }
    stats.loadedFromDisk++;
    return keep(key, program, bytes.length);
  } catch {
    return undefined;
  }
}

/** The same error with the name of the operation that it came from. */
export function named(error: unknown, name: string): unknown {
  if (error instanceof Error) error.message = `${name}: ${error.message}`;
  return error;
}
