/** Puts tensors on several devices. */
import type { PjrtBuffer } from '@flow-grpo/pjrt';
import { type CompiledFunction, type DeviceShard, meshKey, type Sharding } from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { XlaBackend } from '../backend';
import { compileFunction } from '../compile';
import { isPlanning, unvalued } from '../runtime/ahead';
import { client } from '../runtime/client';
import { DeviceData } from '../runtime/data';
import { bytesOf } from '../runtime/host-values';
import { hlo } from '../stablehlo';
import { currentFrame } from '../trace/frame';
import { tracedValue } from '../trace/values';
import { distinctParts } from './parts';
import { scatter } from './placement';
import { shardBox, shardingKey, shardingText } from './sharding';

/** The parts that devices hold of a tensor, each once, read without putting it together. */
export async function readShards(x: tf.Tensor): Promise<DeviceShard[]> {
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
  const source = backend.find(x.dataId);
  if (source.sharding && shardingKey(source.sharding) === shardingKey(layout)) return tf.clone(x);
  if (source.sharding && meshKey(source.sharding.mesh) === meshKey(layout.mesh)) return resharded(x, layout);
  if (isPlanning()) {
    const dataId = backend.adopt(unvalued([...shape], source, layout));
    return tf.engine().makeTensorFromTensorInfo({ dataId, shape, dtype });
  }
  backend.readable(x.dataId);
  const data = new DeviceData([...shape], dtype, source.element);
  data.sharding = layout;
  if (source.buffers && !source.sharding && x.rank > 0) data.buffers = dealOut(x, layout, backend);
  else data.buffers = scatter(source.buffers ? backend.rawSync(source) : bytesOf(source), data, layout);
  return tf.engine().makeTensorFromTensorInfo({ dataId: backend.adopt(data), shape, dtype });
}

const movers = new Map<string, CompiledFunction>();

/** Another layout on the same mesh: a program of its own, in which the devices exchange what they need. */
function resharded(x: tf.Tensor, layout: Sharding): tf.Tensor {
  const key = shardingKey(layout);
  let move = movers.get(key);
  if (!move) {
    const fn = (y: unknown) => place(y as tf.Tensor, layout);
    move = compileFunction(fn, { name: 'reshard', donate: new Set() });
    movers.set(key, move);
  }
  return move.call([x]) as tf.Tensor;
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
