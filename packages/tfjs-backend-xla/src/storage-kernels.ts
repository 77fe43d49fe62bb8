/** Kernels that share or relabel data instead of computing. */
import * as tf from '@tensorflow/tfjs-core';
import type { XlaBackend } from './backend';
import { runLowering } from './dispatch';
import { kernelInPlace } from './kernels/kernel';
import { castTo } from './kernels/values';
import { elementOf } from './runtime/data';
import { hlo } from './stablehlo';
import { currentFrame } from './trace/frame';
import { tracedValue } from './trace/values';

interface StorageKernel {
  readonly kernelName: string;
  run(inputs: tf.NamedTensorInfoMap, attrs: never, backend: XlaBackend): tf.TensorInfo;
}

/** The same data under a tensor of its own. Inside a trace a variable's value of now is taken. */
function identity(x: tf.TensorInfo, shape: number[], backend: XlaBackend): tf.TensorInfo {
  const frame = currentFrame();
  if (frame && x instanceof tf.Variable) {
    return backend.tracer(hlo.reshape(frame.block, tracedValue(x, backend), shape), x.dtype);
  }
  const data = backend.find(x.dataId);
  // Read by the block even if only passed on: gradients of a loop body look for what it uses.
  if (frame && data.block !== frame.block) tracedValue(x, backend);
  data.refs++;
  return { dataId: x.dataId, shape, dtype: x.dtype };
}

function reshape(x: tf.TensorInfo, shape: readonly number[], backend: XlaBackend): tf.TensorInfo {
  const size = tf.util.sizeFromShape(x.shape);
  const full = tf.util.inferFromImplicitShape([...shape], size);
  if (tf.util.sizeFromShape(full) !== size) {
    throw new Error(
      `reshape: [${x.shape}] has ${size} elements, [${full}] has ${tf.util.sizeFromShape(full)}`,
    );
  }
  const data = backend.find(x.dataId);
  if (currentFrame() || data.sharding) {
    const lowering = { kernelName: 'Reshape', lower: (b, { x }) => hlo.reshape(b, x!, full) } as Parameters<
      typeof runLowering
    >[0];
    return runLowering(lowering, { x }, { shape: full }, backend) as tf.TensorInfo;
  }
  return identity(x, full, backend);
}

function cast(x: tf.TensorInfo, dtype: tf.DataType, backend: XlaBackend): tf.TensorInfo {
  if (x.dtype === dtype) return identity(x, [...x.shape], backend);
  const element = elementOf(dtype);
  if (!element || x.dtype === 'string') throw new Error(`cast: ${x.dtype} cannot become ${dtype}`);
  const lowering = kernelInPlace('Cast', (b, { x }) => castTo(b, x!, element));
  return runLowering(lowering, { x }, { dtype }, backend) as tf.TensorInfo;
}

export const storageKernels: readonly StorageKernel[] = [
  { kernelName: 'Identity', run: ({ x }, _, backend) => identity(x!, [...x!.shape], backend) },
  {
    kernelName: 'Reshape',
    run: ({ x }, { shape }: { shape: number[] }, backend) => reshape(x!, shape, backend),
  },
  {
    kernelName: 'Cast',
    run: ({ x }, { dtype }: { dtype: tf.DataType }, backend) => cast(x!, dtype, backend),
  },
];
