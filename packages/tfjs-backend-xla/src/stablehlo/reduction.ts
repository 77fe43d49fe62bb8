import { ContractionBuilder } from './contraction';
import { describe, fail, i64Array, i64Matrix, type Region } from './core';
import { floatElements } from './flops';
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

/** Reductions over axes, over windows, sorting and scatter's cousin select_and_scatter. */
export class ReductionBuilder extends ContractionBuilder {
  protected combiner(reducer: Reducer, dtype: ElementType): Region {
    const scalar = { shape: [], dtype };
    return this.region([scalar, scalar], (inner, [a, b]) => [inner.binary(reducer, a!, b!)]);
  }

  /** Removes `axes`, combining along them. */
  reduce(x: Value, reducer: Reducer, axes: readonly number[]): Value {
    if (axes.some((a) => a < 0 || a >= x.shape.length))
      fail('reduce', `${describe(x)} lacks an axis of [${axes.join(',')}]`);
    if (axes.length === 0) return x;
    const type = { shape: x.shape.filter((_, i) => !axes.includes(i)), dtype: x.dtype };
    const init = this.scalar(neutral(reducer, x.dtype), x.dtype);
    const combiner = this.combiner(reducer, x.dtype);
    const attributes = { dimensions: i64Array(sorted(axes)) };
    return this.op(
      'stablehlo.reduce',
      [x, init],
      [type],
      attributes,
      [combiner],
      joins(x, type) * combiner.flops,
    )[0]!;
  }

  /** Reduces several arrays of one shape together; `body` combines (accumulated…, next…). */
  reduceMany(
    xs: readonly Value[],
    inits: readonly Value[],
    axes: readonly number[],
    body: (b: this, left: Value[], right: Value[]) => readonly Value[],
  ): Value[] {
    const n = xs.length;
    const types = xs.map((x) => ({ shape: x.shape.filter((_, i) => !axes.includes(i)), dtype: x.dtype }));
    const scalars = xs.map(element);
    const region = this.region([...scalars, ...scalars], (inner, args) =>
      body(inner, args.slice(0, n), args.slice(n)),
    );
    const attributes = { dimensions: i64Array(sorted(axes)) };
    const flops = xs.length === 0 ? 0 : joins(xs[0]!, types[0]!) * region.flops;
    return this.op('stablehlo.reduce', [...xs, ...inits], types, attributes, [region], flops);
  }

  private windowShape(op: string, x: Value, o: Required<WindowOptions>): number[] {
    return x.shape.map((d, i) => {
      if (o.window[i] === undefined) fail(op, `window [${o.window.join(',')}] does not match ${describe(x)}`);
      const dilate = (size: number, by: number) => (size === 0 ? 0 : (size - 1) * by + 1);
      const size = dilate(d, o.baseDilation[i]!) + o.padding[i]![0] + o.padding[i]![1];
      const window = dilate(o.window[i]!, o.windowDilation[i]!);
      return size < window ? 0 : Math.floor((size - window) / o.strides[i]!) + 1;
    });
  }

  private windowDefaults(x: Value, o: WindowOptions): Required<WindowOptions> {
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
  reduceWindow(x: Value, reducer: Reducer, options: WindowOptions): Value {
    const o = this.windowDefaults(x, options);
    const type = { shape: this.windowShape('reduce_window', x, o), dtype: x.dtype };
    if (x.shape.length === 0) return x;
    const init = this.scalar(neutral(reducer, x.dtype), x.dtype);
    const combiner = this.combiner(reducer, x.dtype);
    const flops = numElements(type.shape) * (numElements(o.window) - 1) * combiner.flops;
    return this.op('stablehlo.reduce_window', [x, init], [type], windowAttributes(o), [combiner], flops)[0]!;
  }

  /**
   * The transpose of pooling: each element of `source` is added to the place in its window that
   * wins `direction` (`GE` for the maximum, the first of equals).
   */
  selectAndScatter(x: Value, source: Value, direction: 'GE' | 'LE', options: WindowOptions): Value {
    const o = this.windowDefaults(x, options);
    const shape = this.windowShape('select_and_scatter', x, o);
    if (
      source.dtype !== x.dtype ||
      source.shape.length !== shape.length ||
      shape.some((d, i) => d !== source.shape[i])
    )
      fail(
        'select_and_scatter',
        `the source must be ${x.dtype}[${shape.join(',')}], got ${describe(source)}`,
      );
    const scalar = element(x);
    const select = this.region([scalar, scalar], (inner, [a, b]) => [inner.compare(direction, a!, b!)]);
    const { window_dimensions, window_strides, padding } = windowAttributes(o);
    return this.op(
      'stablehlo.select_and_scatter',
      [x, source, this.scalar(0, x.dtype)],
      [x],
      { window_dimensions: window_dimensions!, window_strides: window_strides!, padding: padding! },
      [select, this.combiner('add', x.dtype)],
      floatElements(source),
    )[0]!;
  }

  /** Sorts arrays of one shape together along an axis; `less` compares elements (a0, b0, a1, b1 …). */
  sort(xs: readonly Value[], axis: number, less: (b: this, args: Value[]) => Value, stable = true): Value[] {
    const region = this.region(
      xs.flatMap((x) => [element(x), element(x)]),
      (inner, args) => [less(inner, args)],
    );
    return this.op('stablehlo.sort', xs, xs, { dimension: `${axis} : i64`, is_stable: `${stable}` }, [
      region,
    ]);
  }
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
