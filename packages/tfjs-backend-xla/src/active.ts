import * as tf from '@tensorflow/tfjs-core';

/** The name under which this backend registers itself and its kernels. */
export const BACKEND = 'xla';

/** Whether the XLA backend is the one that runs operations now. */
export const isXla = (): boolean => tf.getBackend() === BACKEND;
