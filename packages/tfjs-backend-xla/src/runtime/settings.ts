/** What may be chosen before the backend starts. */
import type { DistributedOptions, NamedValue } from '@flow-grpo/pjrt';

export interface XlaOptions {
  /** Path of a PJRT plugin library. Default: pjrt's own discovery. */
  plugin?: string;
  /**
   * Which kind of plugin to look for. Default: `FLOW_GRPO_XLA_PLATFORM` (`cpu` or `cuda`), else CUDA where there is a GPU
   * and its plugin, else CPU.
   */
  platform?: 'cpu' | 'cuda';
  /**
   * How many devices to use: virtual ones that the CPU plugin makes, 1 by default, or the first of the GPUs that CUDA shows, all
   * of them by default. Where there are fewer GPUs, all are used.
   */
  devices?: number;
  /**
   * Whether CUDA takes three quarters of the GPU's memory at once (true, XLA's default) or as it is needed, which leaves the rest
   * to other processes but fits less. Elsewhere it changes nothing.
   */
  preallocate?: boolean;
  /** Further options of the plugin's client, such as `memory_fraction` on CUDA. */
  clientOptions?: Readonly<Record<string, NamedValue>>;
  /**
   * Folder of compiled programs kept between runs, or false for none. Default: `FLOW_GRPO_XLA_CACHE` (a folder, or
   * `off`), else `flow-grpo/xla` in the user's cache folder.
   */
  compilationCache?: string | false;
  /**
   * Folder to which the StableHLO text of every program that `jit` traces is written, one file per program, whether it
   * has to be compiled or not. Default: `FLOW_GRPO_XLA_DUMP`, else none.
   */
  dumpPrograms?: string;
  /**
   * XLA debug options for every compilation, without dashes. On CUDA `{ xla_gpu_enable_triton_gemm: false }` is there
   * unless named again.
   */
  debugOptions?: Readonly<Record<string, string | number | bigint | boolean>>;
  /**
   * On CUDA: the same bits whenever a program meets the same inputs, in other processes too. XLA then adds up in a fixed order
   * and picks algorithms without trying them, which may be slower. CPU plugins compute so anyway. Default false.
   */
  deterministic?: boolean;
  /** Free device memory of tensors that were collected undisposed. Default: when NODE_ENV is `development`. */
  finalizeLeaks?: boolean;
  /**
   * Share the devices of several processes, on one machine or many. All processes must run the same programs over meshes in
   * the same order; each has what its own devices hold.
   */
  distributed?: DistributedOptions;
}

let settings: XlaOptions = {};
let inUse = false;

/**
 * Sets options of the backend, before it starts; `startXla` takes them as well; options of an earlier call stay unless named
 * again.
 *
 * @throws once XLA runs in this process: its devices are made when it starts.
 */
export function configure(options: XlaOptions): void {
  const { devices } = options;
  if (devices !== undefined && !(Number.isInteger(devices) && devices >= 1)) {
    throw new Error(`configure: devices must be a positive integer, not ${devices}`);
  }
  if (inUse) throw new Error('configure: XLA is already running; call it before startXla()');
  settings = { ...settings, ...options };
}

/** The options as they are now; `start` freezes them. */
export function currentSettings(start = false): XlaOptions {
  inUse ||= start;
  return settings;
}
