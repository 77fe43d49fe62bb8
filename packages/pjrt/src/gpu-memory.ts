/** Memory of GPUs as the driver counts it, for all processes: XLA learns what is free only when it takes it. */
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatBytes, PjrtError, PjrtOutOfMemoryError } from './errors';
import { namedGpus } from './gpu-count';
import type { NamedValue } from './named-values';

type Environment = Readonly<Record<string, string | undefined>>;

export interface GpuMemory {
  /** As nvidia-smi counts. */
  index: number;
  uuid: string;
  name: string;
  /** In bytes. */
  total: number;
  /** In bytes; what no process has. */
  free: number;
}

/** The share of a GPU's memory that XLA's pool gets unless `memory_fraction` says otherwise. */
const XLA_FRACTION = 0.75;

/** The share that a GPU without any process has free at least: the driver keeps the rest for itself. */
const IDLE_FRACTION = 0.95;

/** How long nvidia-smi may take: seconds where no process keeps the driver loaded. */
const NVIDIA_SMI_MS = 20_000;

/** How long a process that has just ended may keep its memory. */
const RELEASE_MS = 10_000;
const LOOK_AGAIN_MS = 500;

/** The fraction of each GPU that `FLOW_GRPO_XLA_MEMORY_FRACTION` grants; undefined where it is not set. */
export function memoryFraction(environment: Environment = process.env): number | undefined {
  const text = environment.FLOW_GRPO_XLA_MEMORY_FRACTION;
  if (text === undefined || text === '') return undefined;
  const fraction = Number(text);
  if (fraction > 0 && fraction <= 1) return fraction;
  throw new PjrtError(
    'createClient',
    'INVALID_ARGUMENT',
    `FLOW_GRPO_XLA_MEMORY_FRACTION is ${text}; it must be a number above 0 and at most 1, the share of each GPU's memory that XLA takes`,
  );
}

/**
 * Waits until each GPU has free what a CUDA client with these options takes at its start, 10 s at most: a process that
 * was killed a moment ago still has its memory. Where another process holds it XLA would start all the same with what
 * is left, and end the process when that is used up.
 *
 * @throws PjrtOutOfMemoryError with the GPU, what is free and what is asked for.
 */
export async function awaitFreeMemory(
  options: Readonly<Record<string, NamedValue>>,
  { environment = process.env, patience = RELEASE_MS }: { environment?: Environment; patience?: number } = {},
): Promise<void> {
  if (options.preallocate === false || options.allocator === 'platform') return;
  const fraction = Number(options.memory_fraction ?? XLA_FRACTION);
  const deadline = performance.now() + patience;
  for (;;) {
    const gpus = visibleGpus(await gpuMemory(environment), environment, options.visible_devices);
    // All of a GPU is more than any process gets.
    const full = gpus.find(({ free, total }) => free < Math.min(fraction, IDLE_FRACTION) * total);
    if (full === undefined) return;
    if (performance.now() > deadline) throw shortage(full, fraction);
    await sleep(LOOK_AGAIN_MS);
  }
}

function shortage({ index, name, total, free }: GpuMemory, fraction: number): PjrtOutOfMemoryError {
  const wanted = fraction * total;
  const fits = Math.floor((95 * free) / total) / 100;
  const less =
    fits >= 0.05
      ? `, or take less of it (FLOW_GRPO_XLA_MEMORY_FRACTION=${fits}, or the option memory_fraction)`
      : '';
  return new PjrtOutOfMemoryError(
    'createClient',
    `GPU ${index} (${name}) has ${formatBytes(free)} of ${formatBytes(total)} free, and XLA takes ${formatBytes(wanted)} (${fraction} of it) when it starts: ` +
      `another process holds the rest (nvidia-smi lists them). End that process, choose other GPUs with CUDA_VISIBLE_DEVICES${less}`,
    Math.round(wanted),
    free,
  );
}

/** The machine's GPUs in nvidia-smi's order; none where it does not tell of each what a process may have. */
export async function gpuMemory(environment: Environment = process.env): Promise<GpuMemory[]> {
  const fields = 'index,uuid,name,memory.total,memory.free,mig.mode.current';
  const query = [`--query-gpu=${fields}`, '--format=csv,noheader,nounits'];
  const text = await new Promise<string>((resolve) => {
    const options = { env: { ...environment }, timeout: NVIDIA_SMI_MS };
    execFile('nvidia-smi', query, options, (error, stdout) => resolve(error ? '' : stdout));
  });
  const gpus = text.trim().split('\n').map(gpuOf);
  return gpus.every((gpu) => gpu !== undefined) ? gpus : [];
}

/** A line of nvidia-smi; undefined for a GPU that shares the machine's memory, and for one in parts, of which a process gets one. */
function gpuOf(line: string): GpuMemory | undefined {
  const [index, uuid, name, total, free, mig] = line.split(',').map((field) => field.trim());
  if (!uuid || !name || !(Number(total) > 0) || Number.isNaN(Number(free)) || mig === 'Enabled')
    return undefined;
  return { index: Number(index), uuid, name, total: Number(total) * 2 ** 20, free: Number(free) * 2 ** 20 };
}

/**
 * Those GPUs that CUDA shows this process, and of these the ones that `visible_devices` chooses, as far as their names tell:
 * parts of a GPU (MIG) are left out, and so are numbers where GPUs differ, since CUDA then counts the fastest first.
 */
export function visibleGpus(
  gpus: readonly GpuMemory[],
  environment: Environment,
  chosen?: NamedValue,
): GpuMemory[] {
  const alike =
    environment.CUDA_DEVICE_ORDER === 'PCI_BUS_ID' || gpus.every(({ name }) => name === gpus[0]?.name);
  const isNumber = (word: string) => /^\d+$/.test(word);
  const byName = (word: string) =>
    isNumber(word)
      ? gpus.find(({ index }) => index === Number(word))
      : gpus.find(({ uuid }) => word.startsWith('GPU-') && uuid.startsWith(word));
  const words = namedGpus(environment) ?? gpus.map(({ index }) => `${index}`);
  // From the first word on that names none, CUDA shows no more.
  const end = words.findIndex((word) => !word.startsWith('MIG-') && !byName(word));
  const visible = words
    .slice(0, end < 0 ? undefined : end)
    .map((word) => (isNumber(word) && !alike ? undefined : byName(word)));
  const devices = Array.isArray(chosen) ? (chosen as readonly number[]).map((i) => visible[i]) : visible;
  return devices.flatMap((gpu) => gpu ?? []);
}
