import { type Block, op, short } from './block';
import { describe, fail } from './errors';
import { i64Array } from './literals';
import {
  type ElementType,
  numElements,
  type Shape,
  sameShape,
  type TensorType,
  typeText,
  type Value,
} from './types';

const isPermutation = (p: readonly number[], rank: number): boolean =>
  p.length === rank && new Set(p).size === rank && p.every((d) => Number.isInteger(d) && d >= 0 && d < rank);

/** `(types) -> type`, at the end of an op. */
const arrow = (operands: readonly TensorType[], result: TensorType): string =>
  ` : (${operands.map(typeText).join(', ')}) -> ${typeText(result)}`;

/** The same elements in the same order, in another shape. */
export function reshape(b: Block, x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x;
  if (numElements(x.shape) !== numElements(shape))
    fail(
      'reshape',
      `${describe(x)} has ${numElements(x.shape)} elements, [${shape.join(',')}] ${numElements(shape)}`,
    );
  const type = { shape: [...shape], dtype: x.dtype };
  return short(b, 'reshape', [x], arrow([x], type), type);
}

/** Axis i of the result is axis permutation[i] of x. */
export function transpose(b: Block, x: Value, permutation: readonly number[]): Value {
  if (!isPermutation(permutation, x.shape.length))
    fail('transpose', `[${permutation.join(',')}] does not permute the axes of ${describe(x)}`);
  if (permutation.every((d, i) => d === i)) return x;
  const type = { shape: permutation.map((d) => x.shape[d]!), dtype: x.dtype };
  return short(b, 'transpose', [x], `, dims = [${permutation.join(', ')}]${arrow([x], type)}`, type);
}

/** Puts axis i of x at axis dimensions[i] of the result; the rest is repeated. */
export function broadcastInDim(b: Block, x: Value, shape: Shape, dimensions: readonly number[]): Value {
  if (dimensions.length !== x.shape.length || new Set(dimensions).size !== dimensions.length)
    fail('broadcast_in_dim', `dimensions [${dimensions.join(',')}] do not match ${describe(x)}`);
  dimensions.forEach((d, i) => {
    if (d < 0 || d >= shape.length || (x.shape[i] !== 1 && x.shape[i] !== shape[d]))
      fail('broadcast_in_dim', `axis ${i} of ${describe(x)} does not fit axis ${d} of [${shape.join(',')}]`);
  });
  if (sameShape(x.shape, shape) && dimensions.every((d, i) => d === i)) return x;
  const type = { shape: [...shape], dtype: x.dtype };
  return short(b, 'broadcast_in_dim', [x], `, dims = [${dimensions.join(', ')}]${arrow([x], type)}`, type);
}

/** Broadcasts by NumPy's rule: axes are aligned at the end. */
export function broadcastTo(b: Block, x: Value, shape: Shape): Value {
  const offset = shape.length - x.shape.length;
  if (offset < 0) fail('broadcast_in_dim', `${describe(x)} has more axes than [${shape.join(',')}]`);
  return broadcastInDim(
    b,
    x,
    shape,
    x.shape.map((_, i) => i + offset),
  );
}

/** x[starts[i]:limits[i]:strides[i]] on each axis. */
export function slice(
  b: Block,
  x: Value,
  starts: readonly number[],
  limits: readonly number[],
  strides?: readonly number[],
): Value {
  const step = strides ?? x.shape.map(() => 1);
  if (starts.length !== x.shape.length || limits.length !== x.shape.length || step.length !== x.shape.length)
    fail('slice', `${describe(x)} needs a start, a limit and a stride for each axis`);
  const shape = x.shape.map((d, i) => {
    const [s, l, t] = [starts[i]!, limits[i]!, step[i]!];
    if (s < 0 || l < s || l > d || t < 1)
      fail('slice', `${s}:${l}:${t} is outside axis ${i} of ${describe(x)}`);
    return Math.ceil((l - s) / t);
  });
  if (sameShape(shape, x.shape)) return x;
  const type = { shape, dtype: x.dtype };
  const ranges = shape.map((_, i) => `${starts[i]}:${limits[i]}${step[i] === 1 ? '' : `:${step[i]}`}`);
  return short(b, 'slice', [x], ` [${ranges.join(', ')}]${arrow([x], type)}`, type);
}

export function concatenate(b: Block, xs: readonly Value[], axis: number): Value {
  const first = xs[0] ?? fail('concatenate', 'needs at least one operand');
  if (axis < 0 || axis >= first.shape.length) fail('concatenate', `${describe(first)} has no axis ${axis}`);
  for (const x of xs)
    if (
      x.dtype !== first.dtype ||
      x.shape.length !== first.shape.length ||
      x.shape.some((d, i) => i !== axis && d !== first.shape[i])
    )
      fail('concatenate', `${describe(x)} does not join ${describe(first)} along axis ${axis}`);
  if (xs.length === 1) return first;
  const shape = [...first.shape];
  shape[axis] = xs.reduce((n, x) => n + x.shape[axis]!, 0);
  const type = { shape, dtype: first.dtype };
  return short(b, 'concatenate', xs, `, dim = ${axis}${arrow(xs, type)}`, type);
}

/** Adds `value` before, after and between elements; negative edges cut. */
export function pad(
  b: Block,
  x: Value,
  value: Value,
  low: readonly number[],
  high: readonly number[],
  interior: readonly number[] = x.shape.map(() => 0),
): Value {
  if (value.dtype !== x.dtype || value.shape.length !== 0)
    fail('pad', `the padding value must be a ${x.dtype} scalar, got ${describe(value)}`);
  if (low.length !== x.shape.length || high.length !== x.shape.length || interior.length !== x.shape.length)
    fail('pad', `${describe(x)} needs a padding for each axis`);
  if ([...low, ...high, ...interior].every((p) => p === 0)) return x;
  const shape = x.shape.map((d, i) => {
    const size = low[i]! + d + Math.max(d - 1, 0) * interior[i]! + high[i]!;
    if (size < 0 || interior[i]! < 0)
      fail('pad', `padding of axis ${i} of ${describe(x)} leaves ${size} elements`);
    return size;
  });
  const type = { shape, dtype: x.dtype };
  const sizes = `low = [${low.join(', ')}], high = [${high.join(', ')}], interior = [${interior.join(', ')}]`;
  return short(b, 'pad', [x, value], `, ${sizes}${arrow([x, value], type)}`, type);
}

export function reverse(b: Block, x: Value, axes: readonly number[]): Value {
  if (axes.some((a) => a < 0 || a >= x.shape.length))
    fail('reverse', `${describe(x)} lacks an axis of [${axes.join(',')}]`);
  if (axes.length === 0) return x;
  return short(b, 'reverse', [x], `, dims = [${axes.join(', ')}] : ${typeText(x)}`, x);
}

/** 0, 1, 2 … along one axis, repeated along the others. */
export function iota(b: Block, shape: Shape, axis: number, dtype: ElementType): Value {
  if (axis < 0 || axis >= shape.length) fail('iota', `[${shape.join(',')}] has no axis ${axis}`);
  const type = { shape: [...shape], dtype };
  return short(b, 'iota', [], ` dim = ${axis} : ${typeText(type)}`, type);
}

/** Slice of `sizes` at run-time starts (integer scalars), moved inside x where it would stick out. */
export function dynamicSlice(b: Block, x: Value, starts: readonly Value[], sizes: readonly number[]): Value {
  checkStarts('dynamic_slice', x, starts);
  if (sizes.length !== x.shape.length || sizes.some((s, i) => s < 0 || s > x.shape[i]!))
    fail('dynamic_slice', `sizes [${sizes.join(',')}] do not fit ${describe(x)}`);
  const type = { shape: [...sizes], dtype: x.dtype };
  return op(b, 'stablehlo.dynamic_slice', [x, ...starts], [type], { slice_sizes: i64Array(sizes) })[0]!;
}

/** x with `update` written at run-time starts. */
export function dynamicUpdateSlice(b: Block, x: Value, update: Value, starts: readonly Value[]): Value {
  checkStarts('dynamic_update_slice', x, starts);
  if (
    update.dtype !== x.dtype ||
    update.shape.length !== x.shape.length ||
    update.shape.some((d, i) => d > x.shape[i]!)
  )
    fail('dynamic_update_slice', `${describe(update)} does not fit into ${describe(x)}`);
  return op(b, 'stablehlo.dynamic_update_slice', [x, update, ...starts], [x])[0]!;
}

function checkStarts(op: string, x: Value, starts: readonly Value[]): void {
  if (starts.length !== x.shape.length)
    fail(op, `${describe(x)} needs ${x.shape.length} starts, got ${starts.length}`);
  for (const s of starts)
    if (s.shape.length !== 0 || s.dtype !== starts[0]!.dtype)
      fail(op, `starts must be integer scalars of one type, got ${describe(s)}`);
}
