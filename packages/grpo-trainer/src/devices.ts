/** Several devices: rows and, if asked for, parameters split over them; XLA partitions the executables. */
import { stopGradient } from '@flow-grpo/nn';
import {
  evenSpec,
  hasCompiler,
  type Mesh,
  mesh,
  replicate,
  shard,
  shardMap,
  tree,
} from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { exchangeRows, perDevice } from './per-device';
import type { Placement } from './placement';

export type { Placement };

export const oneDevice: Placement = {
  devices: 1,
  shardBatch: (values) => values,
  replicate: (values) => values,
  parameters: (params) => params,
  join: (batches) => joined(batches, (parts) => tf.concat([...parts])),
  rowOf: (i) => i,
  take: (values, rows, select = all) =>
    tree.map(values, (value) => stopGradient(() => select(tf.gather(value, rows)))),
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
    take: (values, rows, select = all) =>
      tree.map(values, (value) => stopGradient(() => takeRows(over, value, rows, select))),
    ...(!shardParameters && { perDevice: perDevice(over) }),
  };
}

const all = (rows: tf.Tensor): tf.Tensor => rows;

function takeRows(
  over: Mesh,
  value: tf.Tensor,
  rows: tf.Tensor1D,
  select: (rows: tf.Tensor) => tf.Tensor,
): tf.Tensor {
  const [taken] = shardMap((own: tf.Tensor, wanted: tf.Tensor1D) => [exchangeRows(own, wanted, select)], {
    ...{ mesh: over, inSpecs: [['data'], []], outSpecs: [['data']] },
  })(value, rows);
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
