import { type Block, op, openRegion } from './block';
import { describe, fail } from './errors';
import { i64Matrix } from './literals';
import { combiner, type Reducer } from './reduction';
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

export function allReduce(b: Block, x: Value, reducer: Reducer, o: CollectiveOptions): Value {
  return op(b, 'stablehlo.all_reduce', [x], [x], attributes(o), [combiner(b, reducer, x.dtype)])[0]!;
}

/** Joins the shards of a group along an axis. */
export function allGather(b: Block, x: Value, axis: number, o: CollectiveOptions): Value {
  const size = o.groups[0]!.length;
  if (x.shape[axis] === undefined) fail('all_gather', `${describe(x)} has no axis ${axis}`);
  const type = { shape: x.shape.map((d, i) => (i === axis ? d * size : d)), dtype: x.dtype };
  return op(b, 'stablehlo.all_gather', [x], [type], {
    all_gather_dim: `${axis} : i64`,
    ...attributes(o),
  })[0]!;
}

/** Sums over a group and leaves each device its part along an axis. */
export function reduceScatter(
  b: Block,
  x: Value,
  reducer: Reducer,
  axis: number,
  o: CollectiveOptions,
): Value {
  const size = o.groups[0]!.length;
  if (x.shape[axis] === undefined || x.shape[axis]! % size)
    fail('reduce_scatter', `axis ${axis} of ${describe(x)} is not divisible by ${size}`);
  const type = { shape: x.shape.map((d, i) => (i === axis ? d / size : d)), dtype: x.dtype };
  return op(
    b,
    'stablehlo.reduce_scatter',
    [x],
    [type],
    { scatter_dimension: `${axis} : i64`, ...attributes(o) },
    [combiner(b, reducer, x.dtype)],
  )[0]!;
}

/** This device's number among the partitions, ui32. */
export function partitionId(b: Block): Value {
  return op(b, 'stablehlo.partition_id', [], [{ shape: [], dtype: 'ui32' }])[0]!;
}

/** Asks the partitioner to lay x out so; `sharding` is Shardy text such as `<@mesh, [{"data"}, {}]>`. */
export function shardingConstraint(b: Block, x: Value, sharding: string): Value {
  return op(b, 'sdy.sharding_constraint', [x], [x], { sharding: `#sdy.sharding${sharding}` })[0]!;
}

/** A value as a block written per device takes or gives it: its type there, and Shardy text of how it lies. */
export interface PerDeviceValue {
  readonly type: TensorType;
  readonly sharding: string;
}

/**
 * A block written per device, of which there are `o.devices`: `body` sees the local shards of `xs`, and gets that of a
 * further operand by `more`. `axes` are the mesh axes that the block handles itself.
 *
 * @param results Types of whole results, from those of the block's; asked once, after the body.
 */
export function manualComputation(
  b: Block,
  xs: readonly { readonly value: Value; readonly local: PerDeviceValue }[],
  o: { readonly axes: readonly string[]; readonly devices: number },
  body: (b: Block, shards: Value[], more: (x: Value, local: PerDeviceValue) => Value) => readonly Value[],
  results: (locals: readonly Value[]) => readonly PerDeviceValue[],
): Value[] {
  const operands = [...xs];
  const open = openRegion(b);
  const shards = xs.map(({ local }) => open.argument(local.type));
  const more = (value: Value, local: PerDeviceValue) => {
    operands.push({ value, local });
    return open.argument(local.type);
  };
  const part = open.close(body(open.block, shards, more), 'sdy.return');
  const outs = results(part.results);
  const perValue = (values: readonly PerDeviceValue[]) =>
    `#sdy.sharding_per_value<[${values.map(({ sharding }) => sharding).join(', ')}]>`;
  return op(
    b,
    'sdy.manual_computation',
    operands.map(({ value }) => value),
    outs.map(({ type }) => type),
    {
      in_shardings: perValue(operands.map(({ local }) => local)),
      out_shardings: perValue(outs),
      manual_axes: `#sdy<manual_axes{${o.axes.map((a) => `"${a}"`).join(', ')}}>`,
    },
    [part],
    o.devices * part.flops,
  );
}
