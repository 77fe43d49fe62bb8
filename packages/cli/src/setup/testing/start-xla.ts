import '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';

/** Starts XLA, for programs of tests. */
export async function startBackend(): Promise<void> {
  await tf.setBackend('xla');
}
