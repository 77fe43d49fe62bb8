/** Attention's kernels, told what depends on the device and on how the inputs lie over several. */
import { ATTENTION, type Mesh } from '@flow-grpo/tfjs-jit/backend';
import type * as tf from '@tensorflow/tfjs-core';
import type { XlaBackend } from '../../backend';
import { runLowering } from '../../dispatch';
import type { Lowering } from '../../kernels/kernel';
import { client } from '../../runtime/client';
import { currentSettings } from '../../runtime/settings';
import { currentFrame, perDeviceMesh } from '../../trace/frame';
import type { AttentionAttrs } from './decomposed';
import { fitsFused } from './fused';
import { type AttentionKernelAttrs, attentionLowerings } from './lowerings';
import { batchSplit } from './per-device';

type Inputs = Readonly<Record<string, tf.TensorInfo | undefined>>;

const attentionKernel = (lowering: Lowering) => ({
  kernelName: lowering.kernelName,
  /** `attrs` may have chosen already what follows from the device. */
  run(inputs: Inputs, attrs: AttentionAttrs & Partial<AttentionKernelAttrs>, backend: XlaBackend) {
    const chosen: AttentionKernelAttrs = { ...onDevice(inputs, backend), ...attrs };
    const results = runLowering(lowering, inputs as Record<string, tf.TensorInfo>, { ...chosen }, backend);
    // What is kept for the gradient is no output to tfjs' leak check.
    if (lowering.kernelName === ATTENTION) backend.hide((results as tf.TensorInfo[])[1]!.dataId);
    return results;
  },
});

export const attentionKernels = attentionLowerings.map(attentionKernel);

/** Whether cuDNN takes it, and how the batch is split where XLA cannot partition cuDNN's calls. */
function onDevice(
  { q, k, v, mask, kvLengths, qLengths }: Inputs,
  backend: XlaBackend,
): Pick<AttentionKernelAttrs, 'fused' | 'split' | 'deterministic'> {
  const operands = [q!, k!, v!];
  const elements = operands.map(({ dataId }) => backend.find(dataId).element);
  // Custom calls take neither a mask nor query lengths alone.
  const plain = !mask && (!qLengths || kvLengths !== undefined);
  const fused = client().platformName === 'cuda' && plain && fitsFused(elements, q!.shape[3]!);
  const split = fused ? batchSplit(partitionedOver(operands, backend), q!.shape[0]!) : undefined;
  const deterministic = fused && currentSettings().deterministic;
  return { fused, split, ...(deterministic && { deterministic }) };
}

/** The mesh that XLA partitions the computation over, if any. */
function partitionedOver(inputs: readonly tf.TensorInfo[], backend: XlaBackend): Mesh | undefined {
  const frame = currentFrame();
  if (frame) return perDeviceMesh() ? undefined : frame.trace.mesh;
  for (const { dataId } of inputs) {
    const { sharding } = backend.find(dataId);
    if (sharding) return sharding.mesh;
  }
  return undefined;
}
