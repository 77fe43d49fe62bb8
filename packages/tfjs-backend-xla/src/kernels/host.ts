import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import type { HostInputs, HostKernel, HostTensor } from './kernel';

let cpu: MathBackendCPU | undefined;

/** Whether tfjs' plain JavaScript backend has a kernel of that name. */
export const hasHostKernel = (kernelName: string): boolean => tf.getKernel(kernelName, 'cpu') != null;

/**
 * A kernel computed by tfjs' plain JavaScript backend, on an instance of our own: nothing of it is left behind.
 */
export function onHost(kernelName: string): HostKernel {
  return {
    kernelName,
    host(inputs: HostInputs, attrs): HostTensor | HostTensor[] {
      const known = tf.getKernel(kernelName, 'cpu');
      if (!known) throw new Error(`${kernelName} has no implementation on the host`);
      cpu ??= new MathBackendCPU();
      const backend = cpu;
      const ids: object[] = [];
      const write = ({ shape, dtype, values }: HostTensor): tf.TensorInfo => {
        const dataId = backend.write(values as tf.backend_util.BackendValues, shape, dtype);
        ids.push(dataId);
        return { dataId, shape, dtype };
      };
      const read = ({ dataId, shape, dtype }: tf.TensorInfo): HostTensor => {
        const values = backend.readSync(dataId) as HostTensor['values'];
        ids.push(dataId);
        return { shape: [...shape], dtype, values };
      };
      const named = Object.fromEntries(
        Object.entries(inputs).map(([name, input]) => [
          name,
          'dtype' in input ? write(input) : (input as readonly HostTensor[]).map(write),
        ]),
      );
      // Kernels of a list of tensors get an array.
      const isList = Object.keys(named).every((key, i) => key === `${i}`);
      const infos = isList ? Object.values(named) : named;
      try {
        const result = known.kernelFunc({
          // Concat, Pack, AddN and their like are called with a list.
          inputs: (Array.isArray(inputs) ? Object.values(infos) : infos) as unknown as tf.NamedTensorInfoMap,
          attrs: attrs as unknown as tf.NamedAttrMap,
          backend,
        });
        return Array.isArray(result) ? result.map(read) : read(result);
      } finally {
        for (const id of ids) backend.disposeData(id, true);
      }
    },
  };
}

/** Kernels whose results' shapes depend on data, or that work on strings. */
export const hostOnlyKernels: HostKernel[] = [
  'BroadcastArgs',
  'NonMaxSuppressionV3',
  'NonMaxSuppressionV4',
  'NonMaxSuppressionV5',
  'RaggedGather',
  'RaggedRange',
  'RaggedTensorToTensor',
  'SparseFillEmptyRows',
  'SparseReshape',
  'SparseSegmentMean',
  'SparseSegmentSum',
  'StaticRegexReplace',
  'StringNGrams',
  'StringSplit',
  'StringToHashBucketFast',
  'Unique',
].map(onHost);
