/** Kernels that read their inputs and compute on the host. */
import * as tf from '@tensorflow/tfjs-core';
import type { XlaBackend } from './backend';
import type { Attrs, HostKernel, HostTensor } from './kernels/kernel';

export function registerHostKernel(kernel: HostKernel, backendName: string): void {
  tf.registerKernel({
    kernelName: kernel.kernelName,
    backendName,
    kernelFunc: ({ inputs, attrs, backend }) =>
      runHostKernel(kernel, inputs, attrs as Attrs, backend as XlaBackend),
  });
}

const isString = (input: unknown): boolean =>
  (input as tf.TensorInfo | null | undefined)?.dtype === 'string' ||
  (Array.isArray(input) && input.some(isString));

/** Lets a kernel that is already registered run on the host where its tensors hold strings. */
export function stringsOnHost(kernel: HostKernel, backendName: string): void {
  const { kernelName } = kernel;
  const device = tf.getKernel(kernelName, backendName);
  if (!device) return;
  tf.unregisterKernel(kernelName, backendName);
  tf.registerKernel({
    ...device,
    kernelFunc: (call) => {
      const { inputs, attrs, backend } = call;
      const { dtype, value } = (attrs ?? {}) as { dtype?: unknown; value?: unknown };
      const strings = dtype === 'string' || typeof value === 'string' || Object.values(inputs).some(isString);
      if (!strings) return device.kernelFunc(call);
      return runHostKernel(kernel, inputs, (attrs ?? {}) as Attrs, backend as XlaBackend);
    },
  });
}

/** Runs a kernel on the host: its inputs are read, its results stay there until a device needs them. */
export function runHostKernel(
  kernel: HostKernel,
  inputs: tf.NamedTensorInfoMap,
  attrs: Attrs,
  backend: XlaBackend,
): tf.TensorInfo | tf.TensorInfo[] {
  const read = (tensor: tf.TensorInfo): HostTensor => {
    if (backend.find(tensor.dataId).value) {
      throw new Error(
        `${kernel.kernelName} cannot run inside a jitted function: the shape of its result depends on data`,
      );
    }
    const values = backend.readSync(tensor.dataId) as HostTensor['values'];
    return { shape: [...tensor.shape], dtype: tensor.dtype, values };
  };
  const host: Record<string, HostTensor | HostTensor[]> = {};
  for (const [name, input] of Object.entries(inputs)) {
    if (input == null) continue;
    host[name] = Array.isArray(input) ? input.map(read) : read(input);
  }
  const given = Array.isArray(inputs) ? (Object.values(host) as unknown as typeof host) : host;
  const results = kernel.host(given, attrs ?? {});
  const write = ({ shape, dtype, values }: HostTensor): tf.TensorInfo => ({
    dataId: backend.write(values as tf.BackendValues, shape, dtype),
    shape,
    dtype,
  });
  return Array.isArray(results) ? results.map(write) : write(results);
}
