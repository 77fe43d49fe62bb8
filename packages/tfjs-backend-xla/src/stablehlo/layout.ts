import { describe, fail, i64Array } from './core';
import { ElementwiseBuilder } from './elementwise';
import { type ElementType, numElements, type Shape, sameShape, typeText, type Value } from './types';

const isPermutation = (p: readonly number[], rank: number): boolean =>
  p.length === rank && new Set(p).size === rank && p.every((d) => Number.isInteger(d) && d >= 0 && d < rank);

/** Ops that move or repeat elements without computing on them. */
export class LayoutBuilder extends ElementwiseBuilder {
  reshape(x: Value, shape: Shape): Value {
    if (sameShape(x.shape, shape)) return x;
    if (numElements(x.shape) !== numElements(shape))
      fail(
        'reshape',
        `${describe(x)} has ${numElements(x.shape)} elements, [${shape.join(',')}] ${numElements(shape)}`,
      );
    const type = { shape: [...shape], dtype: x.dtype };
    return this.short(`reshape ${x.id} : (${typeText(x)}) -> ${typeText(type)}`, type);
  }

  /** Axis i of the result is axis permutation[i] of x. */
  transpose(x: Value, permutation: readonly number[]): Value {
    if (!isPermutation(permutation, x.shape.length))
      fail('transpose', `[${permutation.join(',')}] does not permute the axes of ${describe(x)}`);
    if (permutation.every((d, i) => d === i)) return x;
    const type = { shape: permutation.map((d) => x.shape[d]!), dtype: x.dtype };
    return this.short(
      `transpose ${x.id}, dims = [${permutation.join(', ')}] : (${typeText(x)}) -> ${typeText(type)}`,
      type,
    );
  }

  /** Puts axis i of x at axis dimensions[i] of the result; the rest is repeated. */
  broadcastInDim(x: Value, shape: Shape, dimensions: readonly number[]): Value {
    if (dimensions.length !== x.shape.length || new Set(dimensions).size !== dimensions.length)
      fail('broadcast_in_dim', `dimensions [${dimensions.join(',')}] do not match ${describe(x)}`);
    dimensions.forEach((d, i) => {
      if (d < 0 || d >= shape.length || (x.shape[i] !== 1 && x.shape[i] !== shape[d]))
        fail(
          'broadcast_in_dim',
          `axis ${i} of ${describe(x)} does not fit axis ${d} of [${shape.join(',')}]`,
        );
    });
    if (sameShape(x.shape, shape) && dimensions.every((d, i) => d === i)) return x;
    const type = { shape: [...shape], dtype: x.dtype };
    return this.short(
      `broadcast_in_dim ${x.id}, dims = [${dimensions.join(', ')}] : (${typeText(x)}) -> ${typeText(type)}`,
      type,
    );
  }

  /** Broadcasts by NumPy's rule: axes are aligned at the end. */
  broadcastTo(x: Value, shape: Shape): Value {
    const offset = shape.length - x.shape.length;
    if (offset < 0) fail('broadcast_in_dim', `${describe(x)} has more axes than [${shape.join(',')}]`);
    return this.broadcastInDim(
      x,
      shape,
      x.shape.map((_, i) => i + offset),
    );
  }

  /** x[starts[i]:limits[i]:strides[i]] on each axis. */
  slice(x: Value, starts: readonly number[], limits: readonly number[], strides?: readonly number[]): Value {
    const step = strides ?? x.shape.map(() => 1);
    if (
      starts.length !== x.shape.length ||
      limits.length !== x.shape.length ||
      step.length !== x.shape.length
    )
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
    return this.short(`slice ${x.id} [${ranges.join(', ')}] : (${typeText(x)}) -> ${typeText(type)}`, type);
  }

  concatenate(xs: readonly Value[], axis: number): Value {
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
    return this.short(
      `concatenate ${xs.map((x) => x.id).join(', ')}, dim = ${axis} : (${xs.map(typeText).join(', ')}) -> ${typeText(type)}`,
      type,
    );
  }

  /** Adds `value` before, after and between elements; negative edges cut. */
  pad(
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
    return this.short(
      `pad ${x.id}, ${value.id}, low = [${low.join(', ')}], high = [${high.join(', ')}], interior = [${interior.join(', ')}] : (${typeText(x)}, ${typeText(value)}) -> ${typeText(type)}`,
      type,
    );
  }

  reverse(x: Value, axes: readonly number[]): Value {
    if (axes.some((a) => a < 0 || a >= x.shape.length))
      fail('reverse', `${describe(x)} lacks an axis of [${axes.join(',')}]`);
    if (axes.length === 0) return x;
    return this.short(`reverse ${x.id}, dims = [${axes.join(', ')}] : ${typeText(x)}`, x);
  }

  /** 0, 1, 2 … along one axis, repeated along the others. */
  iota(shape: Shape, axis: number, dtype: ElementType): Value {
    if (axis < 0 || axis >= shape.length) fail('iota', `[${shape.join(',')}] has no axis ${axis}`);
    const type = { shape: [...shape], dtype };
    return this.short(`iota dim = ${axis} : ${typeText(type)}`, type);
  }

  /** Slice of `sizes` at run-time starts (integer scalars), moved inside x where it would stick out. */
  dynamicSlice(x: Value, starts: readonly Value[], sizes: readonly number[]): Value {
    this.checkStarts('dynamic_slice', x, starts);
    if (sizes.length !== x.shape.length || sizes.some((s, i) => s < 0 || s > x.shape[i]!))
      fail('dynamic_slice', `sizes [${sizes.join(',')}] do not fit ${describe(x)}`);
    const type = { shape: [...sizes], dtype: x.dtype };
    return this.op('stablehlo.dynamic_slice', [x, ...starts], [type], { slice_sizes: i64Array(sizes) })[0]!;
  }

  /** x with `update` written at run-time starts. */
  dynamicUpdateSlice(x: Value, update: Value, starts: readonly Value[]): Value {
    this.checkStarts('dynamic_update_slice', x, starts);
    if (
      update.dtype !== x.dtype ||
      update.shape.length !== x.shape.length ||
      update.shape.some((d, i) => d > x.shape[i]!)
    )
      fail('dynamic_update_slice', `${describe(update)} does not fit into ${describe(x)}`);
    return this.op('stablehlo.dynamic_update_slice', [x, update, ...starts], [x])[0]!;
  }

  private checkStarts(op: string, x: Value, starts: readonly Value[]): void {
    if (starts.length !== x.shape.length)
      fail(op, `${describe(x)} needs ${x.shape.length} starts, got ${starts.length}`);
    for (const s of starts)
      if (s.shape.length !== 0 || s.dtype !== starts[0]!.dtype)
        fail(op, `starts must be integer scalars of one type, got ${describe(s)}`);
  }
}
