/** Starting the backend as a benchmark needs it. */
import { findPlugin } from '@flow-grpo/pjrt';
import { configure, deviceInfo } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';

/** Starts XLA; on a GPU its pool grows as needed, so that engines can share the card and peaks mean something. */
export async function startDevice(cpuDevices = 1): Promise<void> {
  const onGpu = findPlugin({}).platform === 'cuda';
  configure(onGpu ? { clientOptions: { preallocate: false } } : { cpuDevices });
  if (!(await tf.setBackend('xla'))) throw new Error('The xla backend did not start: run `npx pjrt doctor`');
}

/** Most memory in use so far, GiB; absent where the plugin does not count (the CPU ones). */
export function peakMemory(): { peakGiB?: number } {
  const bytes = deviceInfo()[0]?.peakBytesInUse;
  return bytes === undefined ? {} : { peakGiB: bytes / 2 ** 30 };
}
