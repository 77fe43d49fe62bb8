/** Arguments and results of partitioned programs. */
import type { PjrtBuffer, PjrtExecutable } from '@flow-grpo/pjrt';
import { type Mesh, replicated, type Sharding } from '@flow-grpo/tfjs-jit/backend';
import type { XlaBackend } from '../backend';
import { client } from '../runtime/client';
import type { DeviceData } from '../runtime/data';
import { byteSize, numElements, sameShape, type TensorType, type Value } from '../stablehlo';
import type { Trace } from '../trace/frame';
import { shardBox, shardingText } from './sharding';

const MESH = 'mesh';

/** Declares the mesh of the arguments' data, if any, and how each argument lies on it. */
export function programSharding(
  trace: Trace,
  args: readonly Value[],
  data: readonly (DeviceData | undefined)[],
): void {
  for (const each of data) if (each?.sharding) trace.useMesh(each.sharding.mesh);
  const { mesh, module } = trace;
  if (!mesh) return;
  module.mesh(MESH, mesh.axes);
  module.setAttribute('mhlo.num_partitions', `${mesh.size} : i32`);
  module.setAttribute('mhlo.num_replicas', '1 : i32');
  args.forEach((arg, i) => {
    const sharding = data[i]?.sharding ?? replicated(mesh, arg.shape);
    trace.setAttributes(arg, shardingAttribute(sharding));
  });
}

export const shardingAttribute = (sharding: Sharding): Record<string, string> => ({
  'sdy.sharding': `#sdy.sharding${shardingText(sharding)}`,
});

/** The argument lists, one a device; tensors on one device are copied to all of a mesh. */
export function placeInputs(
  data: readonly DeviceData[],
  mesh: Mesh | undefined,
  backend: XlaBackend,
): PjrtBuffer[][] {
  if (!mesh) return [data.map((each) => each.buffers?.[0] ?? backend.buffer(each))];
  const rows: PjrtBuffer[][] = Array.from({ length: mesh.size }, () => []);
  for (const each of data) {
    const buffers = each.sharding ? each.buffers! : spread(each, mesh, backend);
    buffers.forEach((buffer, device) => {
      rows[device]!.push(buffer);
    });
  }
  return rows;
}

/** The tensor on every device of the mesh; copies are kept with it. */
function spread(data: DeviceData, mesh: Mesh, backend: XlaBackend): readonly PjrtBuffer[] {
  const first = backend.buffer(data);
  if (data.copies?.length !== mesh.size - 1) {
    for (const copy of data.copies ?? []) copy.dispose();
    const { devices } = client();
    data.copies = devices.slice(1, mesh.size).map((device) => first.copyToDevice(device));
  }
  return [first, ...data.copies];
}

/** Buffers of host or single-device data laid out by a sharding. */
export function scatter(bytes: Uint8Array, data: DeviceData, sharding: Sharding): PjrtBuffer[] {
  const { shape, element } = data;
  const width = byteSize(element);
  const strides = shape.map((_, i) => numElements(shape.slice(i + 1)) * width);
  return Array.from({ length: sharding.mesh.size }, (_, device) => {
    const box = shardBox(sharding, shape, device);
    const local = box.map(([, extent]) => extent);
    const part = new Uint8Array(numElements(local) * width);
    let at = 0;
    const copy = (axis: number, offset: number): void => {
      if (axis >= shape.length - 1) {
        const [start, extent] = box[axis] ?? [0, 1];
        const from = offset + start * (strides[axis] ?? width);
        const length = extent * width;
        part.set(bytes.subarray(from, from + length), at);
        at += length;
        return;
      }
      const [start, extent] = box[axis]!;
      for (let i = start; i < start + extent; i++) copy(axis + 1, offset + i * strides[axis]!);
    };
    copy(0, 0);
    return client().bufferFromHost(part, element, local, client().devices[device]);
  });
}

/**
 * How result `i` lies on the mesh. With one axis XLA chooses, and the shape of the shards tells; with several axes,
 * where that may be ambiguous, `chosenSharding` has fixed it beforehand.
 */
export function outputSharding(
  value: { readonly shape: readonly number[] },
  i: number,
  program: PjrtExecutable,
  mesh: Mesh | undefined,
): Sharding | undefined {
  if (!mesh) return undefined;
  const local = program.signature.results[i]!.dims;
  const split = value.shape.findIndex((extent, axis) => extent !== local[axis]);
  const [name] = Object.keys(mesh.axes).filter((axis) => mesh.axes[axis]! > 1);
  const spec = value.shape.map((_, axis) => (axis === split && name ? [name] : []));
  return { mesh, spec };
}

/**
 * Where XLA will probably leave a result whose layout it chooses, for who cannot wait until it is compiled: split along the
 * first axis, if there is an argument of as many rows that is, else whole on all devices.
 */
export function likelySharding(
  shape: readonly number[],
  mesh: Mesh | undefined,
  inputs: readonly DeviceData[],
): Sharding | undefined {
  if (!mesh) return undefined;
  const alike = inputs.find(
    (each) => each.sharding && each.shape[0] === shape[0] && each.sharding.spec[0]?.length,
  );
  const first = alike?.sharding?.spec[0] ?? [];
  return { mesh, spec: shape.map((_, axis) => (axis === 0 ? first : [])) };
}

/** The layout that a result is given on a mesh of several axes: that of an argument of its shape, or replicated. */
export function chosenSharding(
  value: TensorType,
  mesh: Mesh | undefined,
  inputs: readonly DeviceData[],
): Sharding | undefined {
  if (!mesh || Object.values(mesh.axes).filter((size) => size > 1).length < 2) return undefined;
  const alike = inputs.find((data) => data.sharding && sameShape(data.shape, value.shape));
  return alike?.sharding ?? replicated(mesh, value.shape);
}
