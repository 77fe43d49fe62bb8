/** Makes the backend known to tfjs; nothing native is loaded before it is chosen. */
import * as tf from '@tensorflow/tfjs-core';
import { BACKEND } from './active';
import { startClient } from './runtime/client';

tf.registerBackend(
  BACKEND,
  async () => {
    const [{ XlaBackend }, { registerKernels }] = await Promise.all([
      import('./backend'),
      import('./register-kernels'),
      startClient().catch(plainly),
    ]);
    registerKernels();
    return new XlaBackend();
  },
  // Below tfjs' own backends: nobody gets XLA without asking for it.
  0,
);

/** tfjs logs the stack of what goes wrong here and resolves setBackend to false: let it log what to do, no more. */
function plainly(error: unknown): never {
  if (error instanceof Error) error.stack = error.message;
  throw error;
}
