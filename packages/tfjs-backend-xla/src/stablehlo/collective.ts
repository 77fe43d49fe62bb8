import { ControlBuilder } from './control';
import { describe, fail, i64Matrix } from './core';
import type { Reducer } from './reduction';
import type { TensorType, Value } from './types';

export interface CollectiveOptions {
  /** Groups of devices that exchange: replica ids, or global device ids with `channel`. */
  readonly groups: readonly (readonly number[])[];
  /** Set for partitioned programs (num_partitions > 1): ids are then device ids, and the channel must be unique. */
  readonly channel?: number;
}

const attributes = (o: CollectiveOptions): Record<string, string> => ({
  replica_groups: i64Matrix(o.groups),
  ...(o.channel !== undefined && {
    channel_handle: `#stablehlo.channel_handle<handle = ${o.channel}, type = 1>`,
    use_global_device_ids: '',
  }),
});

/** Exchange between devices, and Shardy's partitioning. */
export class CollectiveBuilder extends ControlBuilder {
  allReduce(x: Value, reducer: Reducer, o: CollectiveOptions): Value {
    return this.op('stablehlo.all_reduce', [x], [x], attributes(o), [this.combiner(reducer, x.dtype)])[0]!;
  }

  /** Joins the shards of a group along an axis. */
  allGather(x: Value, axis: number, o: CollectiveOptions): Value {
    const size = o.groups[0]!.length;
    if (x.shape[axis] === undefined) fail('all_gather', `${describe(x)} has no axis ${axis}`);
    const type = { shape: x.shape.map((d, i) => (i === axis ? d * size : d)), dtype: x.dtype };
    return this.op('stablehlo.all_gather', [x], [type], {
      all_gather_dim: `${axis} : i64`,
      ...attributes(o),
    })[0]!;
  }

  /** Sums over a group and leaves each device its part along an axis. */
  reduceScatter(x: Value, reducer: Reducer, axis: number, o: CollectiveOptions): Value {
    const size = o.groups[0]!.length;
    if (x.shape[axis] === undefined || x.shape[axis]! % size)
      fail('reduce_scatter', `axis ${axis} of ${describe(x)} is not divisible by ${size}`);
    const type = { shape: x.shape.map((d, i) => (i === axis ? d / size : d)), dtype: x.dtype };
    return this.op(
      'stablehlo.reduce_scatter',
      [x],
      [type],
      { scatter_dimension: `${axis} : i64`, ...attributes(o) },
      [this.combiner(reducer, x.dtype)],
    )[0]!;
  }

  /** Splits `splitAxis` over a group and joins what arrives along `concatAxis`. */
  allToAll(x: Value, splitAxis: number, concatAxis: number, o: CollectiveOptions): Value {
    const size = o.groups[0]!.length;
    if (x.shape[splitAxis]! % size)
      fail('all_to_all', `axis ${splitAxis} of ${describe(x)} is not divisible by ${size}`);
    const shape = [...x.shape];
    shape[splitAxis] = shape[splitAxis]! / size;
    shape[concatAxis] = shape[concatAxis]! * size;
    const { use_global_device_ids, ...rest } = attributes(o);
    return this.op('stablehlo.all_to_all', [x], [{ shape, dtype: x.dtype }], {
      split_dimension: `${splitAxis} : i64`,
      concat_dimension: `${concatAxis} : i64`,
      split_count: `${size} : i64`,
      ...rest,
    })[0]!;
  }

  /** Sends x along [source, target] pairs; devices that receive nothing get zeros. */
  collectivePermute(x: Value, pairs: readonly (readonly [number, number])[], channel?: number): Value {
    return this.op('stablehlo.collective_permute', [x], [x], {
      source_target_pairs: i64Matrix(pairs),
      ...(channel !== undefined && {
        channel_handle: `#stablehlo.channel_handle<handle = ${channel}, type = 1>`,
      }),
    })[0]!;
  }

  /** This device's number among the partitions, ui32. */
  partitionId(): Value {
    return this.op('stablehlo.partition_id', [], [{ shape: [], dtype: 'ui32' }])[0]!;
  }
  /** This device's number among the replicas, ui32. */
  replicaId(): Value {
    return this.op('stablehlo.replica_id', [], [{ shape: [], dtype: 'ui32' }])[0]!;
  }

  /** Asks the partitioner to lay x out so; `sharding` is Shardy text such as `<@mesh, [{"data"}, {}]>`. */
  shardingConstraint(x: Value, sharding: string): Value {
    return this.op('sdy.sharding_constraint', [x], [x], { sharding: `#sdy.sharding${sharding}` })[0]!;
  }

  /**
   * A block written per device, of which there are `o.devices`: `body` sees the local shards of `xs`. Shardings are Shardy text, one
   * for each operand and result; `axes` are the mesh axes that the block handles itself.
   */
  manualComputation(
    xs: readonly Value[],
    locals: readonly TensorType[],
    results: readonly TensorType[],
    o: {
      inShardings: readonly string[];
      outShardings: readonly string[];
      axes: readonly string[];
      devices: number;
    },
    body: (b: this, shards: Value[]) => readonly Value[],
  ): Value[] {
    const region = this.region(locals, body, 'sdy.return');
    return this.op(
      'sdy.manual_computation',
      xs,
      results,
      {
        in_shardings: `#sdy.sharding_per_value<[${o.inShardings.join(', ')}]>`,
        out_shardings: `#sdy.sharding_per_value<[${o.outShardings.join(', ')}]>`,
        manual_axes: `#sdy<manual_axes{${o.axes.map((a) => `"${a}"`).join(', ')}}>`,
      },
      [region],
      o.devices * region.flops,
    );
  }
}
