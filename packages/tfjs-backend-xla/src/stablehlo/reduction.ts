import { type Block, op, type Region, region } from './block';
import { scalar } from './constants';
import { binary, compare } from './elementwise';
import { describe, fail } from './errors';
import { floatElements } from './flops';
import { i64Array, i64Matrix } from './literals';
import { type ElementType, isFloat, isUnsigned, numElements, type TensorType, type Value } from './types';

/** Associative combinations with a neutral element. */
export type Reducer = 'add' | 'multiply' | 'maximum' | 'minimum' | 'and' | 'or';

export interface WindowOptions {
  readonly window: readonly number[];
  readonly strides?: readonly number[];
  readonly baseDilation?: readonly number[];
  readonly windowDilation?: readonly number[];
  readonly padding?: readonly (readonly [number, number])[];
}

const INTEGER_BITS: Partial<Record<ElementType, number>> = {
  i8: 8,
  i16: 16,
  i32: 32,
  i64: 64,
  ui8: 8,
  ui16: 16,
  ui32: 32,
  ui64: 64,
};

/** The largest or smallest value of a type: infinities for floats. */
export function extreme(dtype: ElementType, sign: 1 | -1): number | bigint | boolean {
  if (isFloat(dtype)) return sign * Number.POSITIVE_INFINITY;
  if (dtype === 'i1') return sign > 0;
  const bits = INTEGER_BITS[dtype];
  if (bits === undefined) throw new Error(`${dtype} has no order`);
  if (isUnsigned(dtype)) return sign > 0 ? 2n ** BigInt(bits) - 1n : 0n;
  const half = 2n ** BigInt(bits - 1);
  return sign > 0 ? half - 1n : -half;
}

/** What leaves the other operand of a reducer as it is. */
export function neutral(reducer: Reducer, dtype: ElementType): number | bigint | boolean {
  switch (reducer) {
    case 'add':
      return dtype === 'i1' ? false : 0;
    case 'multiply':
      return dtype === 'i1' ? true : 1;
    case 'maximum':
      return extreme(dtype, -1);
    case 'minimum':
      return extreme(dtype, 1);
    case 'and':
      return dtype === 'i1' ? true : -1;
    case 'or':
      return dtype === 'i1' ? false : 0;
  }
}

/** How often two elements are combined where `x` is reduced to `result`. */
const joins = (x: TensorType, result: TensorType): number => numElements(x.shape) - numElements(result.shape);

const element = (x: TensorType): TensorType => ({ shape: [], dtype: x.dtype });

/** The region that combines two elements. */
export function combiner(b: Block, reducer: Reducer, dtype: ElementType): Region {
  const type = { shape: [], dtype };
  return region(b, [type, type], (inner, [x, y]) => [binary(inner, reducer, x!, y!)]);
}

/** Removes `axes`, combining along them. */
export function reduce(b: Block, x: Value, reducer: Reducer, axes: readonly number[]): Value {
  if (axes.some((a) => a < 0 || a >= x.shape.length))
    fail('reduce', `${describe(x)} lacks an axis of [${axes.join(',')}]`);
  if (axes.length === 0) return x;
  const type = { shape: x.shape.filter((_, i) => !axes.includes(i)), dtype: x.dtype };
  const init = scalar(b, neutral(reducer, x.dtype), x.dtype);
  const combine = combiner(b, reducer, x.dtype);
  const attributes = { dimensions: i64Array(sorted(axes)) };
  return op(
    b,
    'stablehlo.reduce',
    [x, init],
    [type],
    attributes,
    [combine],
    joins(x, type) * combine.flops,
  )[0]!;
}

/** Reduces several arrays of one shape together; `body` combines (accumulated…, next…). */
export function reduceMany(
  b: Block,
  xs: readonly Value[],
  inits: readonly Value[],
  axes: readonly number[],
  body: (b: Block, left: Value[], right: Value[]) => readonly Value[],
): Value[] {
  const n = xs.length;
  const types = xs.map((x) => ({ shape: x.shape.filter((_, i) => !axes.includes(i)), dtype: x.dtype }));
  const scalars = xs.map(element);
  const combine = region(b, [...scalars, ...scalars], (inner, args) =>
    body(inner, args.slice(0, n), args.slice(n)),
  );
  const attributes = { dimensions: i64Array(sorted(axes)) };
  const flops = xs.length === 0 ? 0 : joins(xs[0]!, types[0]!) * combine.flops;
  return op(b, 'stablehlo.reduce', [...xs, ...inits], types, attributes, [combine], flops);
}

function windowShape(op: string, x: Value, o: Required<WindowOptions>): number[] {
  return x.shape.map((d, i) => {
    if (o.window[i] === undefined) fail(op, `window [${o.window.join(',')}] does not match ${describe(x)}`);
    const dilate = (size: number, by: number) => (size === 0 ? 0 : (size - 1) * by + 1);
    const size = dilate(d, o.baseDilation[i]!) + o.padding[i]![0] + o.padding[i]![1];
    const window = dilate(o.window[i]!, o.windowDilation[i]!);
    return size < window ? 0 : Math.floor((size - window) / o.strides[i]!) + 1;
  });
}

function windowDefaults(x: Value, o: WindowOptions): Required<WindowOptions> {
  const ones = x.shape.map(() => 1);
  return {
    window: o.window,
    strides: o.strides ?? ones,
    baseDilation: o.baseDilation ?? ones,
    windowDilation: o.windowDilation ?? ones,
    padding: o.padding ?? ones.map(() => [0, 0] as const),
  };
}

/** Combines the elements of each window; padding holds the reducer's neutral element. */
export function reduceWindow(b: Block, x: Value, reducer: Reducer, options: WindowOptions): Value {
  const o = windowDefaults(x, options);
  const type = { shape: windowShape('reduce_window', x, o), dtype: x.dtype };
  if (x.shape.length === 0) return x;
  const init = scalar(b, neutral(reducer, x.dtype), x.dtype);
  const combine = combiner(b, reducer, x.dtype);
  const flops = numElements(type.shape) * (numElements(o.window) - 1) * combine.flops;
  return op(b, 'stablehlo.reduce_window', [x, init], [type], windowAttributes(o), [combine], flops)[0]!;
}

/**
 * The transpose of pooling: each element of `source` is added to the place in its window that
 * wins `direction` (`GE` for the maximum, the first of equals).
 */
export function selectAndScatter(
  b: Block,
  x: Value,
  source: Value,
  direction: 'GE' | 'LE',
  options: WindowOptions,
): Value {
  const o = windowDefaults(x, options);
  const shape = windowShape('select_and_scatter', x, o);
  if (
    source.dtype !== x.dtype ||
    source.shape.length !== shape.length ||
    shape.some((d, i) => d !== source.shape[i])
  )
    fail('select_and_scatter', `the source must be ${x.dtype}[${shape.join(',')}], got ${describe(source)}`);
  const type = element(x);
  const select = region(b, [type, type], (inner, [p, q]) => [compare(inner, direction, p!, q!)]);
  const { window_dimensions, window_strides, padding } = windowAttributes(o);
  return op(
    b,
    'stablehlo.select_and_scatter',
    [x, source, scalar(b, 0, x.dtype)],
    [x],
    { window_dimensions: window_dimensions!, window_strides: window_strides!, padding: padding! },
    [select, combiner(b, 'add', x.dtype)],
    floatElements(source),
  )[0]!;
}

/** Sorts arrays of one shape together along an axis; `less` compares elements (a0, b0, a1, b1 …). */
export function sort(
  b: Block,
  xs: readonly Value[],
  axis: number,
  less: (b: Block, args: Value[]) => Value,
  stable = true,
): Value[] {
  const comparator = region(
    b,
    xs.flatMap((x) => [element(x), element(x)]),
    (inner, args) => [less(inner, args)],
  );
  return op(b, 'stablehlo.sort', xs, xs, { dimension: `${axis} : i64`, is_stable: `${stable}` }, [
    comparator,
  ]);
}

const sorted = (axes: readonly number[]): number[] => [...axes].sort((a, b) => a - b);

function windowAttributes(o: Required<WindowOptions>): Record<string, string> {
  return {
    window_dimensions: i64Array(o.window),
    window_strides: i64Array(o.strides),
    base_dilations: i64Array(o.baseDilation),
    window_dilations: i64Array(o.windowDilation),
    padding: i64Matrix(o.padding),
  };
}
