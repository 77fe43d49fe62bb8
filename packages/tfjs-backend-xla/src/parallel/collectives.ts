/** Exchange between devices, inside functions given to shardMap. */
import * as tf from '@tensorflow/tfjs-core';
import type { XlaBackend } from '../backend';
import { customVjp, isFloat, isRecording } from '../grad/vjp';
import { type Block, type CollectiveOptions, hlo, type Value } from '../stablehlo';
import { currentFrame, perDeviceMesh } from '../trace/frame';
import { tensorOf, tracedValue } from '../trace/values';
import type { Mesh } from './sharding';

/** Mesh axes along which devices exchange. */
export type MeshAxes = string | readonly string[];

/** Sums (or takes the largest or smallest) over the devices along mesh axes; every device gets the result. */
export function allReduce(x: tf.Tensor, axes: MeshAxes, operation: 'sum' | 'max' | 'min' = 'sum'): tf.Tensor {
  const reducer = ({ sum: 'add', max: 'maximum', min: 'minimum' } as const)[operation];
  return exchange(
    'allReduce',
    x,
    axes,
    (b, value, options) => hlo.allReduce(b, value, reducer, options),
    (dy) => {
      if (operation !== 'sum') throw new Error(`allReduce: ${operation} has no gradient`);
      return allReduce(dy, axes);
    },
  );
}

/** Joins the devices' tensors along a tensor axis; every device gets the whole. */
export function allGather(x: tf.Tensor, axes: MeshAxes, axis = 0): tf.Tensor {
  return exchange(
    'allGather',
    x,
    axes,
    (b, value, options) => hlo.allGather(b, value, axis, options),
    (dy) => reduceScatter(dy, axes, axis),
  );
}

/** Sums over the devices and leaves each its part along a tensor axis. */
export function reduceScatter(x: tf.Tensor, axes: MeshAxes, axis = 0): tf.Tensor {
  return exchange(
    'reduceScatter',
    x,
    axes,
    (b, value, options) => hlo.reduceScatter(b, value, 'add', axis, options),
    (dy) => allGather(dy, axes, axis),
  );
}

/** Position of this device along a mesh axis: an int32 scalar. */
export function axisIndex(axis: string): tf.Scalar {
  const mesh = requireMesh('axisIndex', [axis]);
  const { block } = currentFrame()!;
  const names = Object.keys(mesh.axes);
  const stride = names.slice(names.indexOf(axis) + 1).reduce((n, name) => n * mesh.axes[name]!, 1);
  const id = hlo.convert(block, hlo.partitionId(block), 'i32');
  const along = hlo.binary(block, 'divide', id, hlo.scalar(block, stride, 'i32'));
  const index = hlo.binary(block, 'remainder', along, hlo.scalar(block, mesh.axes[axis]!, 'i32'));
  return tensorOf(index, 'int32', tf.backend() as XlaBackend) as tf.Scalar;
}

function exchange(
  operation: string,
  x: tf.Tensor,
  axes: MeshAxes,
  lower: (b: Block, value: Value, options: CollectiveOptions) => Value,
  gradient: (dy: tf.Tensor) => tf.Tensor,
): tf.Tensor {
  const names = typeof axes === 'string' ? [axes] : [...axes];
  const mesh = requireMesh(operation, names);
  const run = () => {
    const { trace, block } = currentFrame()!;
    const backend = tf.backend() as XlaBackend;
    const options = { groups: groups(mesh, names), channel: trace.nextChannel() };
    return tensorOf(lower(block, tracedValue(x, backend), options), x.dtype, backend);
  };
  if (!isRecording() || !isFloat(x)) return run();
  return customVjp(
    [x],
    () => [run()],
    ([dy]) => [gradient(dy!)],
  )[0]!;
}

function requireMesh(operation: string, names: readonly string[]): Mesh {
  const mesh = perDeviceMesh();
  if (!mesh) throw new Error(`${operation} works inside a function given to shardMap only`);
  for (const name of names) {
    if (mesh.axes[name] === undefined)
      throw new Error(`${operation}: the mesh ${mesh.key} has no axis "${name}"`);
  }
  return mesh;
}

/** Devices that differ along `names` only, in the order of these axes. */
function groups(mesh: Mesh, names: readonly string[]): number[][] {
  const found = new Map<string, number[]>();
  for (let device = 0; device < mesh.size; device++) {
    const at = mesh.coordinates(device);
    const key = Object.keys(mesh.axes)
      .filter((name) => !names.includes(name))
      .map((name) => at[name])
      .join();
    found.set(key, [...(found.get(key) ?? []), device]);
  }
  return [...found.values()];
}
