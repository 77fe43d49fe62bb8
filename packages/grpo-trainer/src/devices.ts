/** Several devices: rows and, if asked for, parameters split over them; XLA partitions the executables. */
import { stopGradient } from '@flow-grpo/nn';
import {
  axisIndex,
  evenSpec,
  hasCompiler,
  type Mesh,
  mesh,
  reduceScatter,
  replicate,
  shard,
  shardMap,
} from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Params } from './policy';
import { flattenTensors, mapTensors } from './rollout/rollout';

/** Where tensors go. On one device what places them returns what it gets; elsewhere it disposes of nothing. */
export interface Placement {
  readonly devices: number;
  /** Splits every tensor of a pytree along `axis` (0 by default). */
  rows<T>(tree: T, axis?: number): T;
  /** Puts every tensor of a pytree on all devices. Inside jit it makes XLA reduce over devices. */
  everywhere<T>(tree: T): T;
  /** Puts trained weights, or what belongs to each of them, on all devices, or a part of each on every device. */
  parameters(params: Params): Params;
  /** Joins batches of equally many rows, each split over the devices, without moving any; disposes of the batches. */
  join<T>(batches: readonly T[]): T;
  /** Where row `i` of all batches of `batchSize` rows lies among the `total` that `join` makes. */
  placeOf(i: number, batchSize: number, total: number): number;
  /** The rows at int32 [b] `places` of joined batches, split over the devices again; a constant for gradients. */
  take<T>(tree: T, places: tf.Tensor1D): T;
}

export const oneDevice: Placement = {
  devices: 1,
  rows: (tree) => tree,
  everywhere: (tree) => tree,
  parameters: (params) => params,
  join: (batches) => joined(batches, (parts) => tf.concat([...parts])),
  placeOf: (i) => i,
  take: (tree, places) => mapTensors(tree, (value) => stopGradient(() => tf.gather(value, places))),
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
    placeOf: (i, batchSize, total) => {
      const [batch, within] = [Math.floor(i / batchSize), i % batchSize];
      const each = batchSize / devices;
      return Math.floor(within / each) * (total / devices) + batch * each + (within % each);
    },
    take: (tree, places) => mapTensors(tree, (value) => stopGradient(() => takeRows(over, value, places))),
  };
}

/** Every device gives the rows that it holds, zeros for the others; their sum is the rows, each device its share. */
function takeRows(over: Mesh, value: tf.Tensor, places: tf.Tensor1D): tf.Tensor {
  const [rows] = shardMap(
    (own: tf.Tensor, all: tf.Tensor1D) => {
      const held = own.shape[0]!;
      const at = tf.sub(all, tf.mul(axisIndex('data'), tf.scalar(held, 'int32')));
      const inside = tf.logicalAnd(tf.greaterEqual(at, 0), tf.less(at, held));
      const taken = tf.gather(own, tf.where(inside, at, tf.zerosLike(at)) as tf.Tensor1D);
      const mask = tf.reshape(inside, [-1, ...taken.shape.slice(1).map(() => 1)]);
      return [reduceScatter(tf.where(mask, taken, tf.zerosLike(taken)), 'data', 0)];
    },
    { mesh: over, inSpecs: [['data'], []], outSpecs: [['data']] },
  )(value, places);
  return rows!;
}

/** Pytrees of one structure joined leaf by leaf; the parts are disposed of, one leaf at a time. */
function joined<T>(trees: readonly T[], join: (parts: readonly tf.Tensor[]) => tf.Tensor): T {
  if (trees.length === 1) return trees[0]!;
  const leaves = trees.map((tree) => flattenTensors(tree));
  let next = 0;
  return mapTensors(trees[0]!, () => {
    const parts = leaves.map((list) => list[next]!);
    next++;
    const whole = join(parts);
    tf.dispose(parts);
    return whole;
  });
}

/** The first axis of layers stacked under one name (`layers.*.weight`) counts them and stays whole. */
const firstAxis = (name: string) => (name.includes('*') ? 1 : 0);
