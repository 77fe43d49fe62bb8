import type * as tf from '@tensorflow/tfjs-core';

/** Called with intermediate tensors under the names of the upstream modules. For tests and inspection. */
export type Observe = (name: string, value: tf.Tensor) => void;
