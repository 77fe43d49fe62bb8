import { type Block, op, region } from './block';
import { describe, fail } from './errors';
import { i64Array } from './literals';
import { combiner, type Reducer } from './reduction';
import { numElements, sameShape, type Value } from './types';

export interface GatherDimensions {
  /** Axes of the result that run inside a slice. */
  readonly offset: readonly number[];
  /** Axes of the operand that are sliced to one element and dropped. */
  readonly collapsed: readonly number[];
  readonly operandBatching?: readonly number[];
  readonly indicesBatching?: readonly number[];
  /** Component i of an index vector addresses this axis of the operand. */
  readonly indexMap: readonly number[];
  /** The axis of the indices that holds the components; the indices' rank if each is a scalar. */
  readonly indexVectorAxis: number;
  readonly sliceSizes: readonly number[];
  readonly sorted?: boolean;
}

export interface ScatterDimensions {
  /** Axes of the updates that run inside a window. */
  readonly window: readonly number[];
  /** Axes of the operand that a window does not have. */
  readonly inserted: readonly number[];
  readonly operandBatching?: readonly number[];
  readonly indicesBatching?: readonly number[];
  readonly indexMap: readonly number[];
  readonly indexVectorAxis: number;
  readonly sorted?: boolean;
  readonly unique?: boolean;
}

const list = (values: readonly number[] | undefined) => `[${(values ?? []).join(', ')}]`;

/** Slices of x at index vectors; indices outside are moved inside. */
export function gather(b: Block, x: Value, indices: Value, d: GatherDimensions): Value {
  if (d.sliceSizes.length !== x.shape.length || d.sliceSizes.some((s, i) => s < 0 || s > x.shape[i]!))
    fail('gather', `slice sizes [${d.sliceSizes.join(',')}] do not fit ${describe(x)}`);
  const batch = indices.shape.filter((_, i) => i !== d.indexVectorAxis);
  const dropped = [...d.collapsed, ...(d.operandBatching ?? [])];
  const inside = d.sliceSizes.filter((_, i) => !dropped.includes(i));
  if (inside.length !== d.offset.length)
    fail('gather', `${d.offset.length} offset axes for slices of ${inside.length} axes`);
  const shape: number[] = [];
  let [at, into] = [0, 0];
  for (let i = 0; i < batch.length + inside.length; i++)
    shape.push(d.offset.includes(i) ? inside[into++]! : batch[at++]!);
  const parts = [
    `offset_dims = ${list(d.offset)}`,
    `collapsed_slice_dims = ${list(d.collapsed)}`,
    `operand_batching_dims = ${list(d.operandBatching)}`,
    `start_indices_batching_dims = ${list(d.indicesBatching)}`,
    `start_index_map = ${list(d.indexMap)}`,
    `index_vector_dim = ${d.indexVectorAxis}`,
  ];
  return op(b, 'stablehlo.gather', [x, indices], [{ shape, dtype: x.dtype }], {
    dimension_numbers: `#stablehlo.gather<${parts.join(', ')}>`,
    slice_sizes: i64Array(d.sliceSizes),
    indices_are_sorted: `${d.sorted ?? false}`,
  })[0]!;
}

/** x with updates combined in at index vectors; updates outside are dropped. `set` overwrites. */
export function scatter(
  b: Block,
  x: Value,
  indices: Value,
  updates: Value,
  mode: Reducer | 'set',
  d: ScatterDimensions,
): Value {
  if (updates.dtype !== x.dtype) fail('scatter', `updates ${describe(updates)} do not match ${describe(x)}`);
  const batch = indices.shape.filter((_, i) => i !== d.indexVectorAxis);
  const outside = updates.shape.filter((_, i) => !d.window.includes(i));
  if (!sameShape(batch, outside))
    fail('scatter', `updates ${describe(updates)} do not match indices ${describe(indices)}`);
  const parts = [
    `update_window_dims = ${list(d.window)}`,
    `inserted_window_dims = ${list(d.inserted)}`,
    `input_batching_dims = ${list(d.operandBatching)}`,
    `scatter_indices_batching_dims = ${list(d.indicesBatching)}`,
    `scatter_dims_to_operand_dims = ${list(d.indexMap)}`,
    `index_vector_dim = ${d.indexVectorAxis}`,
  ];
  const type = { shape: [], dtype: x.dtype };
  const combine =
    mode === 'set' ? region(b, [type, type], (_, [, next]) => [next!]) : combiner(b, mode, x.dtype);
  return op(
    b,
    'stablehlo.scatter',
    [x, indices, updates],
    [x],
    {
      scatter_dimension_numbers: `#stablehlo.scatter<${parts.join(', ')}>`,
      indices_are_sorted: `${d.sorted ?? false}`,
      unique_indices: `${d.unique ?? false}`,
    },
    [combine],
    numElements(updates.shape) * combine.flops,
  )[0]!;
}
