/** Every kernel of this backend, registered with tfjs once. */
import * as tf from '@tensorflow/tfjs-core';
import { BACKEND } from './active';
import type { XlaBackend } from './backend';
import { registerLowering } from './dispatch';
import { registerHostKernel, stringsOnHost } from './host-kernels';
import { hasHostKernel, hostKernels, lowerings, onHost } from './kernels';
import { ownLowerings } from './ops/lowerings';
import { storageKernels } from './storage-kernels';

let done = false;

export function registerKernels(): void {
  if (done) return;
  done = true;
  const own = new Set(storageKernels.map(({ kernelName }) => kernelName));
  for (const lowering of lowerings) if (!own.has(lowering.kernelName)) registerLowering(lowering);
  for (const lowering of ownLowerings) registerLowering(lowering);
  for (const { kernelName, run } of storageKernels) {
    tf.registerKernel({
      kernelName,
      backendName: BACKEND,
      kernelFunc: ({ inputs, attrs, backend }) => run(inputs, attrs as never, backend as XlaBackend),
    });
  }
  for (const { kernelName } of lowerings) if (hasHostKernel(kernelName)) stringsOnHost(onHost(kernelName));
  for (const kernel of hostKernels) registerHostKernel(kernel);
}
