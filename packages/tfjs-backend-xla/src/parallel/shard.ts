/** Puts tensors on several devices. */
import type { PjrtBuffer } from '@flow-grpo/pjrt';
import * as tf from '@tensorflow/tfjs-core';
import { isXla } from '../active';
import type { XlaBackend } from '../backend';
import { customVjp, isFloat, isRecording } from '../grad/vjp';
import { jit } from '../jit';
import { client } from '../runtime/client';
import { DeviceData } from '../runtime/data';
import { bytesOf } from '../runtime/host-values';
import { hlo } from '../stablehlo';
import { currentFrame } from '../trace/frame';
import { tracedValue } from '../trace/values';
import { distinctParts } from './parts';
import { scatter } from './placement';
import {
  type Mesh,
  type PartitionSpec,
  type Sharding,
  shardBox,
  sharding,
  shardingKey,
  shardingText,
} from './sharding';

/**
 * The tensor laid out over a mesh: axis i is split along the mesh axis (or axes) `spec[i]`, axes without one are not
 * split. Outside jit it copies the shards to their devices; inside it tells XLA how the value must lie.
 *
 * @throws when an axis is not divisible, or outside of the XLA backend.
 */
export function shard<T extends tf.Tensor>(x: T, mesh: Mesh, spec: PartitionSpec): T {
  if (!isXla()) throw new Error("shard: several devices need the XLA backend: await tf.setBackend('xla')");
  const layout = sharding(mesh, spec, x.shape);
  if (!isRecording() || !isFloat(x)) return place(x, layout) as T;
  return customVjp(
    [x],
    () => [place(x, layout)],
    ([dy]) => [place(dy!, layout)],
  )[0] as T;
}

/** The whole tensor on every device of the mesh. */
export const replicate = <T extends tf.Tensor>(x: T, mesh: Mesh): T => shard(x, mesh, []);

/** How a tensor lies over devices; undefined for a tensor on one device. */
export function shardingOf(x: tf.Tensor): { mesh: Mesh; spec: PartitionSpec } | undefined {
  if (!isXla()) return undefined;
  const found = (tf.backend() as XlaBackend).find(x.dataId).layout;
  return (
    found && {
      mesh: found.mesh,
      spec: found.spec.map((names) => (names.length > 1 ? names : (names[0] ?? null))),
    }
  );
}

/** The part of a tensor that one device holds. */
export interface DeviceShard {
  /** Number of the device in the mesh. */
  readonly device: number;
  /** Where the part begins in the whole tensor. */
  readonly start: readonly number[];
  readonly shape: readonly number[];
  /** Row-major bytes as stored: two an element for bfloat16 and float16. */
  readonly bytes: Uint8Array;
}

/**
 * What each device of the mesh holds of a tensor, read without putting it together; parts that several devices hold
 * come once, from the first of them. A tensor on one device is its only part.
 */
export async function readShards(x: tf.Tensor): Promise<DeviceShard[]> {
  if (!isXla()) throw new Error("readShards: needs the XLA backend: await tf.setBackend('xla')");
  const backend = tf.backend() as XlaBackend;
  const data = backend.readable(x.dataId);
  const { sharding, buffers, shape } = data;
  if (!sharding || !buffers) {
    return [{ device: 0, start: shape.map(() => 0), shape, bytes: await backend.raw(data) }];
  }
  return Promise.all(
    distinctParts(sharding, shape).map(async ({ device, box }) => ({
      device,
      start: box.map(([from]) => from),
      shape: box.map(([, extent]) => extent),
      bytes: await buffers[device]!.toHost(),
    })),
  );
}

/** The tensor with this layout: a copy outside jit, a constraint in the program inside. */
export function place(x: tf.Tensor, layout: Sharding): tf.Tensor {
  const backend = tf.backend() as XlaBackend;
  const { shape, dtype } = x;
  const frame = currentFrame();
  if (frame) {
    frame.trace.useMesh(layout.mesh);
    const value = hlo.shardingConstraint(frame.block, tracedValue(x, backend), shardingText(layout));
    const info = backend.tracer(value, dtype);
    backend.find(info.dataId).constraint = layout;
    return tf.engine().makeTensorFromTensorInfo(info);
  }
  const source = backend.readable(x.dataId);
  if (source.sharding && shardingKey(source.sharding) === shardingKey(layout)) return tf.clone(x);
  if (source.sharding?.mesh.key === layout.mesh.key) return resharded(x, layout);
  const data = new DeviceData([...shape], dtype, source.element);
  data.sharding = layout;
  if (source.buffers && !source.sharding && x.rank > 0) data.buffers = dealOut(x, layout, backend);
  else data.buffers = scatter(source.buffers ? backend.rawSync(source) : bytesOf(source), data, layout);
  return tf.engine().makeTensorFromTensorInfo({ dataId: backend.adopt(data), shape, dtype });
}

const movers = new Map<string, (x: tf.Tensor) => tf.Tensor>();

/** Another layout on the same mesh: a program of its own, in which the devices exchange what they need. */
function resharded(x: tf.Tensor, layout: Sharding): tf.Tensor {
  const key = shardingKey(layout);
  let move = movers.get(key);
  if (!move) {
    move = jit((y: tf.Tensor) => place(y, layout), { name: 'reshard' });
    movers.set(key, move);
  }
  return move(x);
}

/** The parts of a tensor that is on the first device, cut there and sent to the others. */
function dealOut(x: tf.Tensor, layout: Sharding, backend: XlaBackend): PjrtBuffer[] {
  const { devices } = client();
  const parts = new Map<string, tf.Tensor>();
  const buffers: PjrtBuffer[] = [];
  // The first device last: it keeps its part, which the others may have to copy.
  for (let device = layout.mesh.size - 1; device >= 0; device--) {
    const box = shardBox(layout, x.shape, device);
    const begin = box.map(([start]) => start);
    const key = begin.join();
    let part = parts.get(key);
    if (!part) {
      const size = box.map(([, extent]) => extent);
      part = tf.engine().runKernel(tf.Slice, { x }, { begin, size }) as tf.Tensor;
      parts.set(key, part);
    }
    const data = backend.find(part.dataId);
    const here = backend.buffer(data);
    if (device > 0) buffers[device] = here.copyToDevice(devices[device]!);
    else {
      buffers[0] = here;
      data.buffers = undefined;
    }
  }
  tf.dispose([...parts.values()]);
  return buffers;
}
