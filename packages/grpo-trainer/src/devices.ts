/** Data parallelism: rows split over devices, everything else on all of them; XLA partitions the executables. */
import { type Mesh, mesh, replicate, shard } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { mapTensors } from './rollout/rollout';

/** Where tensors go. On one device both functions return what they get. */
export interface Placement {
  readonly devices: number;
  /** Splits every tensor of a pytree along `axis` (0 by default); disposes of nothing. */
  rows<T>(tree: T, axis?: number): T;
  /** Puts every tensor of a pytree on all devices. Inside jit it makes XLA reduce over devices. */
  everywhere<T>(tree: T): T;
}

export const oneDevice: Placement = { devices: 1, rows: (tree) => tree, everywhere: (tree) => tree };

/**
 * Placement over the first `devices` devices of the XLA backend.
 *
 * @throws on other backends, and when there are fewer devices.
 */
export function placementOn(devices: number): Placement {
  if (devices === 1) return oneDevice;
  if (tf.getBackend() !== 'xla') {
    throw new Error(`devices: ${devices} needs the XLA backend, not ${tf.getBackend()}`);
  }
  const over: Mesh = mesh({ data: devices });
  return {
    devices,
    rows: (tree, axis = 0) => {
      const spec = [...new Array<null>(axis).fill(null), 'data'];
      return mapTensors(tree, (value) => shard(value, over, spec));
    },
    everywhere: (tree) => mapTensors(tree, (value) => replicate(value, over)),
  };
}
