/** Work that every device does by itself, on rows of its own: what it sums stays apart until somebody wants the total. */
import { castToStorage, stopGradient } from '@flow-grpo/nn';
import {
  allGather,
  allReduce,
  axisIndex,
  type Mesh,
  reduceScatter,
  shard,
  shardLike,
  shardMap,
  tree,
} from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { mapParams } from './maths/adamw';
import type { Layout, OwnPlacement, PerDevice } from './placement';

/**
 * `PerDevice` over the devices of a mesh with one axis, `data`.
 *
 * @param inPlace whether each device takes rows that it holds
 */
export function perDevice(over: Mesh, inPlace: boolean): PerDevice {
  const specs = (layouts: readonly Layout[]) => layouts.map((layout) => (layout === 'split' ? ['data'] : []));
  return {
    run: <A extends unknown[], R extends unknown[] | []>(
      fn: (own: OwnPlacement, ...args: A) => R,
      given: readonly Layout[],
      gives: readonly Layout[],
    ) =>
      shardMap((...args: A) => fn(ownPlacement(over, inPlace), ...args), {
        mesh: over,
        inSpecs: specs(given),
        outSpecs: specs(gives),
      }),
    zeros: (shape) => shard(tf.fill([over.size, ...shape], 0), over, ['data']),
    total: (sums, likes) =>
      mapParams(sums, (value, name) => shardLike(tf.sum(value, 0), likes[name] as tf.Tensor)),
  };
}

function ownPlacement(over: Mesh, inPlace: boolean): OwnPlacement {
  const count = over.size;
  const all = new Map<tf.Tensor, tf.Tensor1D>();
  return {
    devices: count,
    part: { index: axisIndex('data'), count },
    shardBatch: (values) => values,
    keepRows: (values) => values,
    replicate: (values) => values,
    parameters: (params) => params,
    splitFrozen: () => {},
    join: () => {
      throw new Error('a device by itself joins no batches');
    },
    rowOf: (i) => i,
    ownRows: (batchSize) => ({ from: 0, count: batchSize }),
    take(values, rows, select = (found) => found, read = []) {
      if (inPlace) {
        return tree.map(values, (value) =>
          stopGradient(() => heldRows(value, rows, (found) => select(found, ...read), over)),
        );
      }
      const known = all.get(rows) ?? (allGather(rows, 'data') as tf.Tensor1D);
      all.set(rows, known);
      return tree.map(values, (value) =>
        stopGradient(() => exchangeRows(value, known, (found) => select(found, ...read), over)),
      );
    },
  };
}

/**
 * Every device gives the rows that it holds, zeros for the others; their sum is the rows, each device its share.
 *
 * @param own the rows that this device holds
 * @param rows int32 [b]: those that all devices want, in the order of the devices
 * @param select what they want of rows [n, …]
 * @param over the mesh, over all axes of which rows are split
 */
export function exchangeRows(
  own: tf.Tensor,
  rows: tf.Tensor1D,
  select: (rows: tf.Tensor) => tf.Tensor,
  over: Mesh,
): tf.Tensor {
  const count = own.shape[0]!;
  const at = tf.sub(rows, tf.mul(deviceIndex(over), tf.scalar(count, 'int32')));
  const inside = tf.logicalAnd(tf.greaterEqual(at, 0), tf.less(at, count));
  const found = select(tf.gather(own, tf.where(inside, at, tf.zerosLike(at)) as tf.Tensor1D));
  const mask = tf.reshape(inside, [-1, ...found.shape.slice(1).map(() => 1)]);
  return reduceScatter(tf.where(mask, found, tf.zerosLike(found)), Object.keys(over.axes), 0);
}

/** Of the rows that this device holds, those that it wants: int32 [b], counted over all devices. */
export function heldRows(
  own: tf.Tensor,
  rows: tf.Tensor1D,
  select: (rows: tf.Tensor) => tf.Tensor,
  over: Mesh,
): tf.Tensor {
  const first = tf.mul(deviceIndex(over), tf.scalar(own.shape[0]!, 'int32'));
  return select(tf.gather(own, tf.sub(rows, first) as tf.Tensor1D));
}

/** The number of this device in the mesh. */
const deviceIndex = ({ axes }: Mesh): tf.Tensor =>
  Object.entries(axes)
    .map(([name, size]) => ({ index: axisIndex(name) as tf.Tensor, size }))
    .reduce((before, { index, size }) => ({
      index: tf.add(tf.mul(before.index, tf.scalar(size, 'int32')), index),
      size: before.size * size,
    })).index;

/** Numbers [n] of all devices together, inside of `PerDevice.run`: their sums, or where `isMax` the largest. */
export function overDevices(values: tf.Tensor, isMax: readonly boolean[]): tf.Tensor {
  const sums = allReduce(values, 'data');
  if (!isMax.includes(true)) return sums;
  // Not by a reduction over devices: not every plugin's minds NaN.
  const largest = tf.max(allGather(tf.expandDims(values, 0), 'data'), 0);
  return tf.where(tf.tensor1d([...isMax], 'bool'), largest, sums);
}

/** A device's sum [1, …] and its gradient. */
export const addedToOwn = (before: tf.Tensor, gradient: tf.Tensor | undefined): tf.Tensor =>
  gradient ? tf.add(before, tf.reshape(castToStorage(gradient, 'float32'), before.shape)) : tf.clone(before);
