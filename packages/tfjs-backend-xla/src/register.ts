/** Makes the backend known to tfjs; nothing native is loaded before it is chosen. */
import * as tf from '@tensorflow/tfjs-core';
import { startClient } from './runtime/client';

/**
 * Registers the backend with tfjs under a name; importing the package registers it as 'xla'.
 *
 * @returns whether that name was free.
 */
export const registerXla = (name = 'xla'): boolean =>
  tf.registerBackend(
    name,
    async () => {
      const [{ COMPILER }, { XlaBackend }, { xlaCompiler }, { registerKernels }] = await Promise.all([
        import('@flow-grpo/tfjs-jit/backend'),
        import('./backend'),
        import('./compiler'),
        import('./register-kernels'),
        startClient().catch(plainly),
      ]);
      registerKernels(name);
      return Object.assign(new XlaBackend(), { [COMPILER]: xlaCompiler });
    },
    // Below tfjs' own backends: nobody gets XLA without asking for it.
    0,
  );

/** tfjs logs the stack of what goes wrong here and resolves setBackend to false: let it log what to do, no more. */
function plainly(error: unknown): never {
  if (error instanceof Error) error.stack = error.message;
  throw error;
}
