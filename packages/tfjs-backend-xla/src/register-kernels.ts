/** Every kernel of this backend, registered with tfjs once per name of the backend. */
import * as tf from '@tensorflow/tfjs-core';
import type { XlaBackend } from './backend';
import { registerLowering } from './dispatch';
import { registerHostKernel, stringsOnHost } from './host-kernels';
import { hasHostKernel, hostKernels, lowerings, onHost } from './kernels';
import { attentionKernels } from './ops/attention';
import { ownLowerings } from './ops/lowerings';
import { storageKernels } from './storage-kernels';

const done = new Set<string>();

export function registerKernels(backendName: string): void {
  if (done.has(backendName)) return;
  done.add(backendName);
  const own = new Set(storageKernels.map(({ kernelName }) => kernelName));
  for (const lowering of lowerings)
    if (!own.has(lowering.kernelName)) registerLowering(lowering, backendName);
  for (const lowering of ownLowerings) registerLowering(lowering, backendName);
  for (const { kernelName, run } of [...storageKernels, ...attentionKernels]) {
    tf.registerKernel({
      kernelName,
      backendName,
      kernelFunc: ({ inputs, attrs, backend }) => run(inputs, attrs as never, backend as XlaBackend),
    });
  }
  for (const { kernelName } of lowerings)
    if (hasHostKernel(kernelName)) stringsOnHost(onHost(kernelName), backendName);
  for (const kernel of hostKernels) registerHostKernel(kernel, backendName);
}
