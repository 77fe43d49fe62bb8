/** Starts the chosen TensorFlow.js backend; those besides XLA are the user's own packages. */
import '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import type { QuickstartOptions } from './options';

const PACKAGES = {
  wasm: '@tensorflow/tfjs-backend-wasm',
  cpu: '@tensorflow/tfjs-backend-cpu',
  tensorflow: '@tensorflow/tfjs-node',
} as const;

/** Throws with what to install when the backend's package is missing. */
export async function startBackend(name: QuickstartOptions['backend']): Promise<void> {
  if (name !== 'xla') {
    const wanted: string = PACKAGES[name];
    try {
      await import(wanted);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`--backend ${name} needs ${wanted}: npm install ${wanted} (${reason})`);
    }
  }
  if (!(await tf.setBackend(name))) throw new Error(`The backend '${name}' could not be started.`);
}
