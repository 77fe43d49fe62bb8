/** Several devices: rows and, if asked for, parameters split over them; XLA partitions the executables. */
import { stopGradient } from '@flow-grpo/nn';
import {
  deviceInfo,
  evenSpec,
  hasCompiler,
  type Mesh,
  mesh,
  replicate,
  shard,
  shardInPlace,
  shardMap,
  tree,
} from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { exchangeRows, heldRows, perDevice } from './per-device';
import type { Placement, SelectRows } from './placement';

export const oneDevice: Placement = {
  devices: 1,
  shardBatch: (values) => values,
  keepRows: (values) => values,
  replicate: (values) => values,
  parameters: (params) => params,
  splitFrozen: () => {},
  join: (batches) => joined(batches, (parts) => tf.concat([...parts])),
  rowOf: (i) => i,
  ownRows: (batchSize) => ({ from: 0, count: batchSize }),
  take: (values, rows, select = all, read = []) =>
    tree.map(values, (value) => stopGradient(() => select(tf.gather(value, rows), ...read))),
};

/** What of the weights is split over devices: the options of a configuration with these names. */
export interface WeightSharding {
  /** Trained weights, and what belongs to each of them. */
  readonly shardParameters?: boolean | undefined;
  /** Weights that do not train. */
  readonly shardFrozen?: boolean | undefined;
  /** Devices that one copy of what is split is spread over; all by default. */
  readonly shardDevices?: number | undefined;
}

/**
 * Placement over the first `devices` devices of the XLA backend. A weight that is split is so along its longest axis that divides
 * evenly; what has none is on all devices.
 *
 * @throws on other backends, when there are fewer devices, and when copies do not come out even.
 */
export function placementOn(
  devices: number,
  { shardParameters = false, shardFrozen = false, shardDevices = devices }: WeightSharding = {},
): Placement {
  if (devices === 1) return oneDevice;
  if (!hasCompiler()) {
    throw new Error(`devices: ${devices} needs the XLA backend, not ${tf.getBackend()}`);
  }
  if (devices % shardDevices !== 0) {
    throw new Error(`shardDevices (${shardDevices}) must divide devices (${devices})`);
  }
  const copies = devices / shardDevices;
  // Rows are split over all devices; what weights are split over is the last axis: neighbours, which share a host.
  const over: Mesh = mesh(copies > 1 ? { copy: copies, data: shardDevices } : { data: devices });
  const rows = Object.keys(over.axes);
  const inParts = (value: tf.Tensor, name: string) => evenSpec(value.shape, over, 'data', firstAxis(name));
  const onAll = <T>(values: T): T => tree.map(values, (value) => replicate(value, over));
  const shardBatch = <T>(values: T, axis = 0): T => {
    const spec = [...new Array<null>(axis).fill(null), rows];
    return tree.map(values, (value) => shard(value, over, spec));
  };
  const joiners = new Map<number, (...parts: tf.Tensor[]) => tf.Tensor[]>();
  /** Joins so many batches, each device its own rows; one function for all epochs, which would be traced anew otherwise. */
  const joinerOf = (count: number) => {
    const known = joiners.get(count);
    if (known) return known;
    const joiner = shardMap(
      function joinRows(...own: tf.Tensor[]) {
        return [tf.concat(own)];
      },
      { mesh: over, inSpecs: Array.from({ length: count }, () => [rows]), outSpecs: [[rows]] },
    );
    joiners.set(count, joiner);
    return joiner;
  };
  /** What takes rows. */
  const taking = (inPlace: boolean) => ({
    take: ((values, wanted, select = all, read = []) =>
      tree.map(values, (value) =>
        stopGradient(() => takeRows(over, value, wanted, { select, read, inPlace })),
      )) as Placement['take'],
    ...(!shardParameters && !shardFrozen && { perDevice: perDevice(over, inPlace) }),
  });
  const placement: Placement = {
    devices,
    shardBatch,
    keepRows: (values) => (copies > 1 ? shardBatch(values) : values),
    replicate: onAll,
    parameters: shardParameters
      ? (params) =>
          Object.fromEntries(
            Object.entries(params).map(([name, value]) => [name, shard(value, over, inParts(value, name))]),
          )
      : onAll,
    splitFrozen(params) {
      if (!shardFrozen) return;
      for (const [name, value] of Object.entries(params)) {
        const spec = inParts(value, name);
        // What cannot be split is copied to every device where a program needs it.
        if (spec.length > 0) shardInPlace(value, over, spec);
      }
    },
    join: (batches) => joined(batches, (parts) => joinerOf(parts.length)(...parts)[0]!),
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
    ...taking(false),
  };
  return { ...placement, inPlace: { ...placement, ...taking(true) } };
}

const all = (rows: tf.Tensor): tf.Tensor => rows;

interface Taking {
  readonly select: SelectRows;
  readonly read: readonly tf.Tensor[];
  readonly inPlace: boolean;
}

function takeRows(over: Mesh, value: tf.Tensor, rows: tf.Tensor1D, { select, read, inPlace }: Taking) {
  const axes = Object.keys(over.axes);
  const taken = inPlace ? heldRows : exchangeRows;
  const take = (own: tf.Tensor, wanted: tf.Tensor1D, ...given: tf.Tensor[]) => [
    taken(own, wanted, (found) => select(found, ...given), over),
  ];
  const inSpecs = [[axes], inPlace ? [axes] : [], ...read.map(() => [])];
  return shardMap(take, { mesh: over, inSpecs, outSpecs: [[axes]] })(value, rows, ...read)[0]!;
}

/** Pytrees of one structure joined leaf by leaf; the parts are disposed of, one leaf at a time, and all when it throws. */
function joined<T>(batches: readonly T[], join: (parts: readonly tf.Tensor[]) => tf.Tensor): T {
  if (batches.length === 1) return batches[0]!;
  const done: tf.Tensor[] = [];
  try {
    return tree.zip(batches, (parts) => {
      const whole = join(parts);
      tf.dispose([...parts]);
      done.push(whole);
      return whole;
    });
  } catch (error) {
    tree.dispose([done, batches]);
    throw error;
  }
}

/** The first axis of layers stacked under one name (`layers.*.weight`) counts them and stays whole. */
const firstAxis = (name: string) => (name.includes('*') ? 1 : 0);
