import { type Builder, extreme, isFloat, numElements, type Reducer, type Value } from '../stablehlo';
import { attrsOf, kernel, type Lowering, need } from './kernel';
import { axesOf, castTo, floating, inFloat32, keptShape, like, spread } from './values';

interface ReduceAttrs {
  axis?: number | number[];
  reductionIndices?: number | number[];
  keepDims?: boolean;
}

type Fn = (b: Builder, x: Value, axes: number[]) => Value;

const reduction = (name: string, fn: Fn): Lowering =>
  kernel(name, (b, inputs, attrs) => {
    const x = need(inputs, 'x');
    const a = attrsOf<ReduceAttrs>(attrs);
    const axes = axesOf(a.axis ?? a.reductionIndices, x.shape.length);
    const y = fn(b, x, axes);
    return a.keepDims ? b.reshape(y, keptShape(x.shape, axes)) : y;
  });

/** Combines in f32 for narrow floats; booleans are counted. */
const plain =
  (reducer: Reducer): Fn =>
  (b, x, axes) =>
    inFloat32(b, x.dtype === 'i1' ? b.convert(x, 'i32') : x, (y) => b.reduce(y, reducer, axes));

/** XLA's CPU maximum may drop NaN; a comparison that NaN wins does not. */
const ordered =
  (reducer: 'maximum' | 'minimum'): Fn =>
  (b, x, axes) => {
    if (!isFloat(x.dtype) || axes.length === 0) return b.reduce(x, reducer, axes);
    const start = b.scalar(extreme(x.dtype, reducer === 'maximum' ? -1 : 1), x.dtype);
    return b.reduceMany([x], [start], axes, (inner, [v], [w]) => {
      const wins = inner.compare(reducer === 'maximum' ? 'GT' : 'LT', v!, w!);
      return [inner.select(inner.or(wins, inner.compare('NE', v!, v!)), v!, w!)];
    })[0]!;
  };

export function mean(b: Builder, x: Value, axes: readonly number[]): Value {
  const count = axes.reduce((n, a) => n * x.shape[a]!, 1);
  return inFloat32(b, floating(b, x), (y) => {
    const sum = b.reduce(y, 'add', axes);
    return b.div(sum, like(b, sum, count));
  });
}

/** Index of the first extreme element along an axis, i32. */
export function argExtreme(b: Builder, x: Value, axis: number, direction: 'GT' | 'LT'): Value {
  const y = x.dtype === 'i1' ? b.convert(x, 'i32') : x;
  const index = b.iota(y.shape, axis, 'i32');
  const worst = b.scalar(extreme(y.dtype, direction === 'GT' ? -1 : 1), y.dtype);
  // The neutral index is past the end, so that a real element always wins over the start value.
  const past = b.scalar(2147483647, 'i32');
  const [, found] = b.reduceMany([y, index], [worst, past], [axis], (inner, [v, i], [w, j]) => {
    // NaN never wins.
    const better = isFloat(y.dtype)
      ? inner.or(inner.compare(direction, v!, w!), inner.compare('NE', w!, w!))
      : inner.compare(direction, v!, w!);
    const first = inner.and(inner.compare('EQ', v!, w!), inner.compare('LT', i!, j!));
    const keep = inner.or(better, first);
    return [inner.select(keep, v!, w!), inner.select(keep, i!, j!)];
  });
  return b.min(found!, like(b, found!, y.shape[axis]! - 1));
}

const arg = (name: string, direction: 'GT' | 'LT'): Lowering =>
  kernel(name, (b, inputs, attrs) => {
    const x = need(inputs, 'x');
    return argExtreme(b, x, axesOf(attrsOf<{ axis: number }>(attrs).axis, x.shape.length)[0]!, direction);
  });

/** Softmax along one axis, in f32 inside. */
export function softmax(b: Builder, x: Value, axis: number): Value {
  return inFloat32(b, floating(b, x), (y) => {
    const e = b.exp(b.sub(y, spread(b, b.reduce(y, 'maximum', [axis]), y.shape, [axis])));
    return b.div(e, spread(b, b.reduce(e, 'add', [axis]), y.shape, [axis]));
  });
}

function logSoftmax(b: Builder, x: Value, axis: number): Value {
  return inFloat32(b, floating(b, x), (y) => {
    const shifted = b.sub(y, spread(b, b.reduce(y, 'maximum', [axis]), y.shape, [axis]));
    return b.sub(shifted, spread(b, b.log(b.reduce(b.exp(shifted), 'add', [axis])), y.shape, [axis]));
  });
}

/**
 * Prefix combination along an axis. Small axes take one windowed reduction; long ones log₂ n shifted
 * combinations, which cost n log n instead of n².
 */
function cumulative(
  b: Builder,
  x: Value,
  axis: number,
  exclusive: boolean,
  reverse: boolean,
  reducer: 'add' | 'multiply',
): Value {
  const n = x.shape[axis]!;
  if (numElements(x.shape) === 0) return x;
  const identity = b.scalar(reducer === 'add' ? 0 : 1, x.dtype);
  const at = (value: number) => x.shape.map((_, i) => (i === axis ? value : 0));
  const shift = (y: Value, by: number) => {
    const [start, limit] = reverse ? [by, n] : [0, n - by];
    const kept = b.slice(
      y,
      at(start),
      y.shape.map((d, i) => (i === axis ? limit : d)),
    );
    return reverse ? b.pad(kept, identity, at(0), at(by)) : b.pad(kept, identity, at(by), at(0));
  };
  let y = exclusive ? shift(x, Math.min(1, n)) : x;
  for (let by = 1; by < n; by *= 2) y = b.binary(reducer, y, shift(y, by));
  return y;
}

const scanKernel = (name: string, reducer: 'add' | 'multiply'): Lowering =>
  kernel(name, (b, inputs, attrs) => {
    const x = need(inputs, 'x');
    const a = attrsOf<{ axis: number; exclusive: boolean; reverse: boolean }>(attrs);
    const axis = axesOf(a.axis, x.shape.length)[0]!;
    const y = x.dtype === 'i1' ? b.convert(x, 'i32') : x;
    return inFloat32(b, y, (z) => cumulative(b, z, axis, a.exclusive, a.reverse, reducer));
  });

/** Kernels that combine along axes. */
export const reduceKernels: Lowering[] = [
  reduction('Sum', plain('add')),
  reduction('Prod', plain('multiply')),
  reduction('Mean', mean),
  reduction('Max', ordered('maximum')),
  reduction('Min', ordered('minimum')),
  reduction('All', (b, x, axes) => b.reduce(castTo(b, x, 'i1'), 'and', axes)),
  reduction('Any', (b, x, axes) => b.reduce(castTo(b, x, 'i1'), 'or', axes)),
  arg('ArgMax', 'GT'),
  arg('ArgMin', 'LT'),
  kernel('Softmax', (b, inputs, attrs) => {
    const x = need(inputs, 'logits');
    return softmax(b, x, axesOf(attrsOf<{ dim: number }>(attrs).dim, x.shape.length)[0]!);
  }),
  kernel('LogSoftmax', (b, inputs, attrs) => {
    const x = need(inputs, 'logits');
    return logSoftmax(b, x, axesOf(attrsOf<{ axis: number }>(attrs).axis, x.shape.length)[0]!);
  }),
  scanKernel('Cumsum', 'add'),
  scanKernel('Cumprod', 'multiply'),
];
