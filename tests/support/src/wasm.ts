/** tfjs's WebAssembly backend, for suites whose models take minutes on the plain JavaScript one. */
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';

/** Tells tfjs where the backend's binaries are; without, it looks beside the page. */
export const findWasm = (): void =>
  setWasmPaths(`${dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm'))}/`);

/** Runs what follows on WebAssembly, unless the suite was imported by one that chose a backend. */
export async function useWasm(): Promise<void> {
  if (tf.getBackend() !== 'cpu') return;
  findWasm();
  // tfjs's own gradient of gather needs a kernel that this backend lacks.
  await import('@flow-grpo/tfjs-jit/gradients');
  // What a custom gradient keeps on WebAssembly tfjs takes for a leak of the kernel that runs then, when it tests itself.
  tf.env().set('IS_TEST', false);
  if (!(await tf.setBackend('wasm'))) throw new Error("tfjs's WebAssembly backend could not start.");
}
