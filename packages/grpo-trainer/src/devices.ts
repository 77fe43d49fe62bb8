/** Several devices: rows and, if asked for, parameters split over them; XLA partitions the executables. */
import { stopGradient } from '@flow-grpo/nn';
import {
  axisIndex,
  deviceInfo,
  evenSpec,
  hasCompiler,
  type Mesh,
  mesh,
  reduceScatter,
  replicate,
  shard,
  shardMap,
  tree,
} from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Params } from './policy';

/** Where tensors go. On one device what places them returns what it gets; elsewhere it disposes of nothing. */
export interface Placement {
  readonly devices: number;
  /** Splits every tensor of a pytree over the devices along `axis` (0 by default). */
  shardBatch<T>(values: T, axis?: number): T;
  /** Puts every tensor of a pytree on all devices. Inside jit it makes XLA reduce over devices. */
  replicate<T>(values: T): T;
  /** Puts trained weights, or what belongs to each of them, on all devices, or a part of each on every device. */
  parameters(params: Params): Params;
  /** Joins batches of equally many rows, each split over the devices, without moving any; disposes of the batches. */
  join<T>(batches: readonly T[]): T;
  /** Where row `i` of all batches of `batchSize` rows lies among the `total` that `join` makes. */
  rowOf(i: number, batchSize: number, total: number): number;
  /** The rows of a batch that this process's devices hold, where several processes share it. */
  ownRows(batchSize: number): { readonly from: number; readonly count: number };
  /** The given rows, int32 [b], of joined batches, split over the devices again; a constant for gradients. */
  take<T>(values: T, rows: tf.Tensor1D): T;
}

export const oneDevice: Placement = {
  devices: 1,
  shardBatch: (values) => values,
  replicate: (values) => values,
  parameters: (params) => params,
  join: (batches) => joined(batches, (parts) => tf.concat([...parts])),
  rowOf: (i) => i,
  ownRows: (batchSize) => ({ from: 0, count: batchSize }),
  take: (values, rows) => tree.map(values, (value) => stopGradient(() => tf.gather(value, rows))),
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
  if (!hasCompiler()) {
    throw new Error(`devices: ${devices} needs the XLA backend, not ${tf.getBackend()}`);
  }
  const over: Mesh = mesh({ data: devices });
  const onAll = <T>(values: T): T => tree.map(values, (value) => replicate(value, over));
  return {
    devices,
    shardBatch: (values, axis = 0) => {
      const spec = [...new Array<null>(axis).fill(null), 'data'];
      return tree.map(values, (value) => shard(value, over, spec));
    },
    replicate: onAll,
    parameters: shardParameters
      ? (params) =>
          Object.fromEntries(
            Object.entries(params).map(([name, value]) => [
              name,
              shard(value, over, evenSpec(value.shape, over, 'data', firstAxis(name))),
            ]),
          )
      : onAll,
    join: (batches) =>
      joined(
        batches,
        (parts) =>
          // Each device joins its own rows.
          shardMap(
            function joinRows(...own: tf.Tensor[]) {
              return [tf.concat(own)];
            },
            { mesh: over, inSpecs: parts.map(() => ['data']), outSpecs: [['data']] },
          )(...parts)[0]!,
      ),
    rowOf: (i, batchSize, total) => {
      const [batch, within] = [Math.floor(i / batchSize), i % batchSize];
      const each = batchSize / devices;
      return Math.floor(within / each) * (total / devices) + batch * each + (within % each);
    },
    ownRows: (batchSize) => {
      const share = batchSize / devices;
      const own = deviceInfo().slice(0, devices);
      const count = own.filter(({ isLocal }) => isLocal).length;
      return { from: own.findIndex(({ isLocal }) => isLocal) * share, count: count * share };
    },
    take: (values, rows) => tree.map(values, (value) => stopGradient(() => takeRows(over, value, rows))),
  };
}

/** Every device gives the rows that it holds, zeros for the others; their sum is the rows, each device its share. */
function takeRows(over: Mesh, value: tf.Tensor, rows: tf.Tensor1D): tf.Tensor {
  const [taken] = shardMap(
    (own: tf.Tensor, all: tf.Tensor1D) => {
      const count = own.shape[0]!;
      const at = tf.sub(all, tf.mul(axisIndex('data'), tf.scalar(count, 'int32')));
      const inside = tf.logicalAnd(tf.greaterEqual(at, 0), tf.less(at, count));
      const found = tf.gather(own, tf.where(inside, at, tf.zerosLike(at)) as tf.Tensor1D);
      const mask = tf.reshape(inside, [-1, ...found.shape.slice(1).map(() => 1)]);
      return [reduceScatter(tf.where(mask, found, tf.zerosLike(found)), 'data', 0)];
    },
    { mesh: over, inSpecs: [['data'], []], outSpecs: [['data']] },
  )(value, rows);
  return taken!;
}

/** Pytrees of one structure joined leaf by leaf; the parts are disposed of, one leaf at a time. */
function joined<T>(batches: readonly T[], join: (parts: readonly tf.Tensor[]) => tf.Tensor): T {
  if (batches.length === 1) return batches[0]!;
  return tree.zip(batches, (parts) => {
    const whole = join(parts);
    tf.dispose([...parts]);
    return whole;
  });
}

/** The first axis of layers stacked under one name (`layers.*.weight`) counts them and stays whole. */
const firstAxis = (name: string) => (name.includes('*') ? 1 : 0);
