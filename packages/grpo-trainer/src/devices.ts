/** Several devices: rows and, if asked for, parameters split over them; XLA partitions the executables. */
import { evenSpec, type Mesh, mesh, replicate, shard } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import type { Params } from './policy';
import { mapTensors } from './rollout/rollout';

/** Where tensors go. On one device all functions return what they get; none disposes of anything. */
export interface Placement {
  readonly devices: number;
  /** Splits every tensor of a pytree along `axis` (0 by default). */
  rows<T>(tree: T, axis?: number): T;
  /** Puts every tensor of a pytree on all devices. Inside jit it makes XLA reduce over devices. */
  everywhere<T>(tree: T): T;
  /** Puts trained weights, or what belongs to each of them, on all devices, or a part of each on every device. */
  parameters(params: Params): Params;
}

export const oneDevice: Placement = {
  devices: 1,
  rows: (tree) => tree,
  everywhere: (tree) => tree,
  parameters: (params) => params,
};

/**
 * Placement over the first `devices` devices of the XLA backend.
 *
 * @param shardParameters Every device holds 1/devices of each trained weight, along its longest axis that divides
 *   evenly; what has none is on all of them.
 * @throws on other backends, and when there are fewer devices.
 */
export function placementOn(devices: number, shardParameters = false): Placement {
  if (devices === 1) return oneDevice;
  if (tf.getBackend() !== 'xla') {
    throw new Error(`devices: ${devices} needs the XLA backend, not ${tf.getBackend()}`);
  }
  const over: Mesh = mesh({ data: devices });
  const everywhere = <T>(tree: T): T => mapTensors(tree, (value) => replicate(value, over));
  return {
    devices,
    rows: (tree, axis = 0) => {
      const spec = [...new Array<null>(axis).fill(null), 'data'];
      return mapTensors(tree, (value) => shard(value, over, spec));
    },
    everywhere,
    parameters: shardParameters
      ? (params) =>
          Object.fromEntries(
            Object.entries(params).map(([name, value]) => [
              name,
              shard(value, over, evenSpec(value.shape, over, 'data', firstAxis(name))),
            ]),
          )
      : everywhere,
  };
}

/** The first axis of layers stacked under one name (`layers.*.weight`) counts them and stays whole. */
const firstAxis = (name: string) => (name.includes('*') ? 1 : 0);
