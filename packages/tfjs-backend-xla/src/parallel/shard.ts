/** Puts tensors on several devices. */
import type { PjrtBuffer } from '@flow-grpo/pjrt';
import {
  type CompiledFunction,
  type DeviceShard,
  type Mesh,
  meshKey,
  type Sharding,
} from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { XlaBackend } from '../backend';
import { compileFunction } from '../compile';
import { runLowering } from '../dispatch';
import { attrsOf, type Lowering } from '../kernels/kernel';
import { isPlanning, unvalued } from '../runtime/ahead';
import { DeviceData } from '../runtime/data';
import { bytesOf } from '../runtime/host-values';
import { hlo } from '../stablehlo';
import { currentFrame } from '../trace/frame';
import { tracedValue } from '../trace/values';
import { localDevices, localPositions, meshDevices } from './devices';
import { distinctParts, ownParts, type Part } from './parts';
import { scatter } from './placement';
import { shardBox, shardingKey, shardingText } from './sharding';

/** The parts that this process's devices hold of a tensor, each once, read without putting it together. */
export async function readShards(x: tf.Tensor): Promise<DeviceShard[]> {
  const backend = tf.backend() as XlaBackend;
  const data = backend.readable(x.dataId);
  const { shape } = data;
  if (!data.sharding || !data.buffers) {
    return [{ device: 0, start: shape.map(() => 0), shape, bytes: await backend.raw(data) }];
  }
  return Promise.all(
    ownParts(data).map(async ({ device, box, buffer }) => ({
      device,
      start: box.map(([from]) => from),
      shape: box.map(([, extent]) => extent),
      bytes: await buffer.toHost(),
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

/** Moves the values of a tensor to this layout. */
export function shardInPlace(x: tf.Tensor, layout: Sharding): void {
  const backend = tf.backend() as XlaBackend;
  const data = backend.find(x.dataId);
  if (`${data.shape}` !== `${x.shape}`) {
    throw new Error(
      `shardInPlace: the tensor [${x.shape}] shares its values with one of shape [${data.shape}]: copy it first, e.g. with tf.mul(x, 1)`,
    );
  }
  if (data.sharding && shardingKey(data.sharding) === shardingKey(layout)) return;
  const moved = place(x, layout);
  data.takeFrom(backend.find(moved.dataId));
  moved.dispose();
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

/** Parts of a tensor, all cut by one program: by themselves, each would be a program of its own. */
const CUT: Lowering = {
  kernelName: 'Cut',
  lower(b, { x }, attrs) {
    const { boxes } = attrsOf<{ boxes: readonly Part['box'][] }>(attrs);
    return boxes.map((box) =>
      hlo.slice(
        b,
        x!,
        box.map(([start]) => start),
        box.map(([start, extent]) => start + extent),
      ),
    );
  },
};

/** What is of this process in a tensor that is on its first device, cut there and sent to the others. */
function dealOut(x: tf.Tensor, layout: Sharding, backend: XlaBackend): PjrtBuffer[] {
  const devices = meshDevices(layout.mesh);
  const local = localPositions(layout.mesh);
  const boxes = distinctParts(layout, x.shape, local).map(({ box }) => box);
  const cut = runLowering(CUT, { x }, { boxes }, backend) as tf.TensorInfo[];
  const parts = new Map(cut.map(({ dataId }, i) => [`${boxes[i]}`, backend.find(dataId)]));
  const buffers: PjrtBuffer[] = [];
  // The first device last: it keeps its part, which the others may have to copy.
  for (let at = local.length - 1; at >= 0; at--) {
    const device = local[at]!;
    const part = parts.get(`${shardBox(layout, x.shape, device)}`)!;
    const here = backend.buffer(part);
    if (at > 0) buffers[at] = here.copyToDevice(devices[device]!);
    else {
      buffers[0] = here;
      part.buffers = undefined;
    }
  }
  for (const { dataId } of cut) backend.disposeData(dataId);
  return buffers;
}

/**
 * What this process's devices hold of a tensor, over a mesh of these alone; the given one is gone. The mesh has the same axes:
 * those that tell processes apart with one device, the one that their borders lie on with fewer.
 */
export function takeLocal(x: tf.Tensor): tf.Tensor {
  const backend = tf.backend() as XlaBackend;
  const data = backend.readable(x.dataId);
  const { sharding, buffers, dtype, element } = data;
  const own = sharding ? localDevices(sharding.mesh).length : 0;
  if (!sharding || own === sharding.mesh.size) return x;
  const axes = axesOfPart(sharding.mesh, own);
  if (!axes) {
    throw new Error(
      `takeLocal: the ${own} devices of this process are not rows of the mesh ${meshKey(sharding.mesh)}`,
    );
  }
  const mesh: Mesh = { axes, size: own, local: true };
  const shape = data.shape.map((extent, axis) =>
    sharding.spec[axis]!.reduce((left, name) => (left / sharding.mesh.axes[name]!) * axes[name]!, extent),
  );
  const taken = new DeviceData(shape, dtype, element);
  taken.buffers = buffers;
  taken.sharding = own === 1 ? undefined : { mesh, spec: sharding.spec };
  data.buffers = undefined;
  data.release('was taken apart by takeLocal');
  x.dispose();
  return tf.engine().makeTensorFromTensorInfo({ dataId: backend.adopt(taken), shape, dtype });
}

/** The axes of a mesh over `own` devices that follow one another in a larger one; undefined where these are no part of it. */
function axesOfPart({ axes }: Mesh, own: number): Record<string, number> | undefined {
  const part: Record<string, number> = {};
  let left = own;
  for (const [name, size] of Object.entries(axes).reverse()) {
    part[name] = Math.min(left, size);
    if (size % part[name] !== 0 || left % part[name] !== 0) return undefined;
    left /= part[name];
  }
  return left === 1 ? Object.fromEntries(Object.entries(part).reverse()) : undefined;
}
