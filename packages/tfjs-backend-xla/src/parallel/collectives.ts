/** Exchange between devices, in the block of a program that is written per device. */
import type { Mesh } from '@flow-grpo/tfjs-jit/backend';
import * as tf from '@tensorflow/tfjs-core';
import type { XlaBackend } from '../backend';
import { type Block, type CollectiveOptions, hlo, type Value } from '../stablehlo';
import { currentFrame, perDeviceMesh } from '../trace/frame';
import { tensorOf, tracedValue } from '../trace/values';
import { coordinates } from './sharding';

const REDUCERS = { sum: 'add', max: 'maximum', min: 'minimum' } as const;

export function allReduce(
  x: tf.Tensor,
  axes: readonly string[],
  operation: keyof typeof REDUCERS,
): tf.Tensor {
  const reducer = REDUCERS[operation];
  return exchange(x, axes, (b, value, options) => hlo.allReduce(b, value, reducer, options));
}

export function allGather(x: tf.Tensor, axes: readonly string[], axis: number): tf.Tensor {
  return exchange(x, axes, (b, value, options) => hlo.allGather(b, value, axis, options));
}

export function reduceScatter(x: tf.Tensor, axes: readonly string[], axis: number): tf.Tensor {
  return exchange(x, axes, (b, value, options) => hlo.reduceScatter(b, value, 'add', axis, options));
}

export function axisIndex(axis: string): tf.Scalar {
  const mesh = perDeviceMesh()!;
  const { block } = currentFrame()!;
  const names = Object.keys(mesh.axes);
  const stride = names.slice(names.indexOf(axis) + 1).reduce((n, name) => n * mesh.axes[name]!, 1);
  const id = hlo.convert(block, hlo.partitionId(block), 'i32');
  const along = hlo.binary(block, 'divide', id, hlo.scalar(block, stride, 'i32'));
  const index = hlo.binary(block, 'remainder', along, hlo.scalar(block, mesh.axes[axis]!, 'i32'));
  return tensorOf(index, 'int32', tf.backend() as XlaBackend) as tf.Scalar;
}

function exchange(
  x: tf.Tensor,
  axes: readonly string[],
  lower: (b: Block, value: Value, options: CollectiveOptions) => Value,
): tf.Tensor {
  const { trace, block } = currentFrame()!;
  const backend = tf.backend() as XlaBackend;
  const options = { groups: groups(perDeviceMesh()!, axes), channel: trace.nextChannel() };
  return tensorOf(lower(block, tracedValue(x, backend), options), x.dtype, backend);
}

/** Devices that differ along `names` only, in the order of these axes. */
function groups(mesh: Mesh, names: readonly string[]): number[][] {
  const found = new Map<string, number[]>();
  for (let device = 0; device < mesh.size; device++) {
    const at = coordinates(mesh, device);
    const key = Object.keys(mesh.axes)
      .filter((name) => !names.includes(name))
      .map((name) => at[name])
      .join();
    found.set(key, [...(found.get(key) ?? []), device]);
  }
  return [...found.values()];
}
