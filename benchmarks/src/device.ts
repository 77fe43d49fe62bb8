/** Starting the backend as a benchmark needs it. */
import { findPlugin } from '@flow-grpo/pjrt';
import { configure, startXla, type XlaOptions } from '@flow-grpo/tfjs-backend-xla';
import { deviceInfo } from '@flow-grpo/tfjs-jit';

/** Of the GPU's memory, taken at the start: a pool that grows as needed is soon in pieces too small for an update. */
const POOL = 0.9;

/** Starts XLA; what is left of a GPU is for CUDA's libraries, since no other engine runs beside it. */
export async function startDevice(cpuDevices = 1, more: XlaOptions['clientOptions'] = {}): Promise<void> {
  const onGpu = findPlugin({}).platform === 'cuda';
  configure(
    onGpu
      ? { clientOptions: { preallocate: true, memory_fraction: POOL, ...more } }
      : { devices: cpuDevices },
  );
  await startXla();
}

/** Most memory in use so far on any device, GiB; absent where the plugin does not count (the CPU ones). */
export function peakMemory(): { peakGiB?: number } {
  const peaks = deviceInfo().flatMap(({ peakBytesInUse }) => peakBytesInUse ?? []);
  return peaks.length === 0 ? {} : { peakGiB: Math.max(...peaks) / 2 ** 30 };
}
