/**
 * Where a gradient is recorded, `tf.batchNorm` gets the offset 0 and the scale 1 that it was called without. tfjs-core 4.22
 * puts inputs that are left out on its tape as undefined, and fails on them before it asks for the gradient of the kernel.
 */
import * as tf from '@tensorflow/tfjs-core';
import { isRecording } from './vjp';

/** Marks an engine that fills: copies of this file in several packages share one. */
const FILLS = Symbol.for('@flow-grpo/tfjs-jit/fills-inputs');

/** Fills inputs that gradients need, for good. */
export function fillInputs(): void {
  const engine = tf.engine() as ReturnType<typeof tf.engine> & { [FILLS]?: true };
  if (engine[FILLS]) return;
  const run = engine.runKernel.bind(engine);
  engine.runKernel = (kernelName, inputs, attrs) => {
    const fills = kernelName === tf.FusedBatchNorm && isRecording();
    return run(kernelName, fills ? filledBatchNorm(inputs) : inputs, attrs);
  };
  engine[FILLS] = true;
}

function filledBatchNorm(inputs: tf.NamedTensorMap): tf.NamedTensorMap {
  const { mean, scale, offset } = inputs;
  return { ...inputs, scale: scale ?? tf.onesLike(mean!), offset: offset ?? tf.zerosLike(mean!) };
}
