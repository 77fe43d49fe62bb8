import { availableParallelism } from 'node:os';
import { isMainThread } from 'node:worker_threads';
import { loadPlugin } from './api';
import { PjrtClient } from './client';
import { type DistributedOptions, joinCluster } from './distributed/cluster';
import { invalid, PjrtError } from './errors';
import { gpuCount } from './gpu-count';
import { awaitFreeMemory, memoryFraction } from './gpu-memory';
import { encodeNamedValues, type NamedValue } from './named-values';
import { type FoundPlugin, findPlugin } from './plugins/find';
import { type PluginPlatform, WHEEL_PATHS } from './plugins/locations';

export interface CreateClientOptions {
  /** Path of a plugin library. Default: what `findPlugin` finds. */
  plugin?: string | undefined;
  /**
   * Which kind of plugin to look for. Default: `FLOW_GRPO_XLA_PLATFORM` (`cpu` or `cuda`), else `cuda` where a GPU and its
   * plugin are, else `cpu`.
   */
  platform?: PluginPlatform | undefined;
  /**
   * How many devices to use: virtual ones that a CPU plugin makes, 1 by default, or the first of the GPUs that CUDA shows, all
   * of them by default. Where there are fewer GPUs, all are used. The others are left to other processes.
   */
  devices?: number | undefined;
  /**
   * CUDA plugins take three quarters of the GPU's memory at once when true (XLA's default), or the share that
   * `memory_fraction` or `FLOW_GRPO_XLA_MEMORY_FRACTION` says. False lets the pool grow to that as needed. Left out: the
   * plugin's own default. CPU plugins have no such pool; it changes nothing there.
   */
  preallocate?: boolean | undefined;
  /**
   * Options of the plugin itself. CPU: `cpu_device_count` (virtual devices). CUDA: `memory_fraction`,
   * `preallocate`, `allocator` ('bfc', 'cuda_async', 'platform'), `visible_devices`, …
   */
  options?: Readonly<Record<string, NamedValue>> | undefined;
  /**
   * Free buffers whose JavaScript object was collected without `dispose()`, and warn once. Default: when NODE_ENV
   * is `development`. It costs about a microsecond per buffer.
   */
  finalizeLeaks?: boolean | undefined;
  /** Share the devices of several processes, on one machine or many: each sees all of them, and has its own. */
  distributed?: DistributedOptions | undefined;
}

/**
 * Starts XLA without blocking the event loop.
 *
 * @throws NoPluginError when no plugin is installed, PjrtError when the plugin refuses to start, PjrtOutOfMemoryError where
 * another process holds the memory that a GPU's pool is to have.
 */
export async function createClient(options: CreateClientOptions = {}): Promise<PjrtClient> {
  const { preallocate, devices, plugin, platform, ...rest } = options;
  const found = findPlugin({ plugin, platform });
  if (rest.distributed !== undefined && found.platform === 'cpu') {
    throw new PjrtError(
      'createClient',
      'UNIMPLEMENTED',
      `${found.path} computes in one process only: several need a CUDA plugin (npx pjrt install cuda13).`,
    );
  }
  const all = pluginOptions(found, options);
  const start = () => startClient(found, all, rest);
  return found.platform === 'cpu' ? withThreads(Number(all.cpu_device_count), start) : start();
}

/** Starts a plugin with options of its own, on a worker thread (a CUDA client takes seconds). */
async function startClient(
  { path, platform }: FoundPlugin,
  options: Readonly<Record<string, NamedValue>>,
  {
    distributed,
    finalizeLeaks = process.env.NODE_ENV === 'development',
  }: Pick<CreateClientOptions, 'distributed' | 'finalizeLeaks'>,
): Promise<PjrtClient> {
  const api = await loadPlugin(path);
  api.initialize();
  const cluster = distributed && (await joinCluster(distributed));
  const own = cluster && { node_id: cluster.processId, num_nodes: cluster.numProcesses };
  const values = encodeNamedValues(api.native, { ...own, ...options });
  try {
    // Here, where one that is refused tells the other processes.
    if (platform === 'cuda') await awaitFreeMemory(options);
    // get, put, the client that is made, try-get; each callback with an argument that none of ours needs.
    const { get = 0, put = 0, tryGet = 0 } = (await cluster?.keyValueCallbacks()) ?? {};
    const args = [values.address, values.count, get, 0, put, 0, 0, tryGet, 0];
    const words = await api.callAsync('Client_Create', 11, args, values.keep, 'createClient');
    const client = new PjrtClient(api, words.get(8), finalizeLeaks, cluster);
    // A worker may be terminated while its programs run, and nothing tells when they are done: XLA's exit handlers would take
    // apart what these use.
    if (!isMainThread) api.native.skipExitHandlers();
    cluster?.leaveLast();
    return client;
  } catch (error) {
    cluster?.leave(1);
    cluster?.close();
    throw error;
  }
}

/** What a plugin is given: each kind refuses to start with an option of another. */
export function pluginOptions(
  found: FoundPlugin,
  { preallocate, devices, options }: CreateClientOptions,
): Record<string, NamedValue> {
  if (devices !== undefined && !(Number.isInteger(devices) && devices >= 1)) {
    throw invalid('createClient', `devices must be a positive integer, not ${devices}`);
  }
  const own: Record<string, NamedValue> = {};
  if (found.platform === 'cuda') {
    const fraction = memoryFraction();
    if (fraction !== undefined) own.memory_fraction = fraction;
    if (preallocate !== undefined) own.preallocate = preallocate;
    if (devices !== undefined && devices < gpuCount()) own.visible_devices = [...Array(devices).keys()];
  }
  if (found.platform === 'cpu' && devices !== undefined) own.cpu_device_count = devices;
  else if (oneDeviceByDefault(found)) own.cpu_device_count = 1;
  return { ...own, ...options };
}

/** Threads for each virtual device: collectives that do not depend on each other hold one each until all devices meet. */
const THREADS_PER_DEVICE = 32;

/**
 * Runs `start` with `NPROC`, by which XLA's CPU client sizes the pool that all virtual devices share. With fewer threads
 * than collectives under way, devices wait for each other for ever, and XLA ends the process.
 */
async function withThreads<T>(devices: number, start: () => Promise<T>): Promise<T> {
  const threads = THREADS_PER_DEVICE * devices;
  if (!(devices > 1) || process.env.NPROC !== undefined || threads <= availableParallelism()) return start();
  process.env.NPROC = `${threads}`;
  try {
    return await start();
  } finally {
    delete process.env.NPROC;
  }
}

/** The CPU plugins start with four devices of their own accord; one is what a program expects that did not ask. */
const oneDeviceByDefault = ({ path, platform }: FoundPlugin): boolean =>
  platform === 'cpu' &&
  WHEEL_PATHS.some((wheel) => path.endsWith(wheel.path)) &&
  !process.env.XLA_FLAGS?.includes('xla_force_host_platform_device_count');
