import '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';

/** Runs what follows on XLA. Throws where no plugin is installed: `npm run setup` installs the one for CPUs. */
export async function useXla(): Promise<void> {
  if (!(await tf.setBackend('xla')))
    throw new Error("The 'xla' backend could not start; run `npm run setup`.");
}
