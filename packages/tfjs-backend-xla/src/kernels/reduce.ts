import { type Block, extreme, hlo, isFloat, numElements, type Reducer, type Value } from '../stablehlo';
import { attrsOf, kernel, type Lowering, need } from './kernel';
import { axesOf, beats, castTo, floating, inFloat32, keptShape, like, spread, whereNaN } from './values';

interface ReduceAttrs {
  axis?: number | number[];
  reductionIndices?: number | number[];
  keepDims?: boolean;
}

type Fn = (b: Block, x: Value, axes: number[]) => Value;

const reduction = (name: string, fn: Fn): Lowering =>
  kernel(name, (b, inputs, attrs) => {
    const x = need(inputs, 'x');
    const a = attrsOf<ReduceAttrs>(attrs);
    const axes = axesOf(a.axis ?? a.reductionIndices, x.shape.length);
    const y = fn(b, x, axes);
    return a.keepDims ? hlo.reshape(b, y, keptShape(x.shape, axes)) : y;
  });

/** Combines in f32 for narrow floats; booleans are counted. */
const plain =
  (reducer: Reducer): Fn =>
  (b, x, axes) =>
    inFloat32(b, x.dtype === 'i1' ? hlo.convert(b, x, 'i32') : x, (y) => hlo.reduce(b, y, reducer, axes));

/** XLA's CPU maximum may drop NaN; a comparison that NaN wins does not. */
const ordered =
  (reducer: 'maximum' | 'minimum'): Fn =>
  (b, x, axes) => {
    if (!isFloat(x.dtype) || axes.length === 0) return hlo.reduce(b, x, reducer, axes);
    const start = hlo.scalar(b, extreme(x.dtype, reducer === 'maximum' ? -1 : 1), x.dtype);
    return hlo.reduceMany(b, [x], [start], axes, (inner, [v], [w]) => {
      const wins = hlo.compare(inner, reducer === 'maximum' ? 'GT' : 'LT', v!, w!);
      return [hlo.select(inner, hlo.or(inner, wins, hlo.compare(inner, 'NE', v!, v!)), v!, w!)];
    })[0]!;
  };

export function mean(b: Block, x: Value, axes: readonly number[]): Value {
  const count = axes.reduce((n, a) => n * x.shape[a]!, 1);
  return inFloat32(b, floating(b, x), (y) => {
    const sum = hlo.reduce(b, y, 'add', axes);
    return hlo.div(b, sum, like(b, sum, count));
  });
}

/** Index of the first extreme element along an axis, i32. NaN never wins, and where there is nothing else 0 does. */
export function argExtreme(b: Block, x: Value, axis: number, direction: 'GT' | 'LT'): Value {
  if (x.shape[axis] === 0) {
    const [name, what] = direction === 'GT' ? ['argMax', 'largest'] : ['argMin', 'smallest'];
    throw new Error(`${name}: axis ${axis} of [${x.shape.join(',')}] is empty, so it has no ${what} element`);
  }
  const y = x.dtype === 'i1' ? hlo.convert(b, x, 'i32') : x;
  const index = hlo.iota(b, y.shape, axis, 'i32');
  const floats = isFloat(y.dtype);
  const worst = floats ? Number.NaN : extreme(y.dtype, direction === 'GT' ? -1 : 1);
  const start = hlo.scalar(b, worst, y.dtype);
  // The start's index is past the end, so that a real element always wins over it.
  const past = hlo.scalar(b, 2147483647, 'i32');
  const [, found] = hlo.reduceMany(b, [y, index], [start, past], [axis], (inner, [v, i], [w, j]) => {
    const better = floats ? beats(inner, v!, w!, direction) : hlo.compare(inner, direction, v!, w!);
    let equal = hlo.compare(inner, 'EQ', v!, w!);
    if (floats) equal = hlo.or(inner, equal, hlo.and(inner, whereNaN(inner, v!), whereNaN(inner, w!)));
    const first = hlo.and(inner, equal, hlo.compare(inner, 'LT', i!, j!));
    const keep = hlo.or(inner, better, first);
    return [hlo.select(inner, keep, v!, w!), hlo.select(inner, keep, i!, j!)];
  });
  return hlo.min(b, found!, like(b, found!, y.shape[axis]! - 1));
}

const arg = (name: string, direction: 'GT' | 'LT'): Lowering =>
  kernel(name, (b, inputs, attrs) => {
    const x = need(inputs, 'x');
    return argExtreme(b, x, axesOf(attrsOf<{ axis: number }>(attrs).axis, x.shape.length)[0]!, direction);
  });

/** Softmax along one axis, in f32 inside. */
export function softmax(b: Block, x: Value, axis: number): Value {
  return inFloat32(b, floating(b, x), (y) => {
    const e = hlo.exp(b, hlo.sub(b, y, spread(b, hlo.reduce(b, y, 'maximum', [axis]), y.shape, [axis])));
    return hlo.div(b, e, spread(b, hlo.reduce(b, e, 'add', [axis]), y.shape, [axis]));
  });
}

function logSoftmax(b: Block, x: Value, axis: number): Value {
  return inFloat32(b, floating(b, x), (y) => {
    const shifted = hlo.sub(b, y, spread(b, hlo.reduce(b, y, 'maximum', [axis]), y.shape, [axis]));
    return hlo.sub(
      b,
      shifted,
      spread(b, hlo.log(b, hlo.reduce(b, hlo.exp(b, shifted), 'add', [axis])), y.shape, [axis]),
    );
  });
}

/**
 * Prefix combination along an axis. Small axes take one windowed reduction; long ones log₂ n shifted
 * combinations, which cost n log n instead of n².
 */
function cumulative(
  b: Block,
  x: Value,
  axis: number,
  exclusive: boolean,
  reverse: boolean,
  reducer: 'add' | 'multiply',
): Value {
  const n = x.shape[axis]!;
  if (numElements(x.shape) === 0) return x;
  const identity = hlo.scalar(b, reducer === 'add' ? 0 : 1, x.dtype);
  const at = (value: number) => x.shape.map((_, i) => (i === axis ? value : 0));
  const shift = (y: Value, by: number) => {
    const [start, limit] = reverse ? [by, n] : [0, n - by];
    const kept = hlo.slice(
      b,
      y,
      at(start),
      y.shape.map((d, i) => (i === axis ? limit : d)),
    );
    return reverse ? hlo.pad(b, kept, identity, at(0), at(by)) : hlo.pad(b, kept, identity, at(by), at(0));
  };
  let y = exclusive ? shift(x, Math.min(1, n)) : x;
  for (let by = 1; by < n; by *= 2) y = hlo.binary(b, reducer, y, shift(y, by));
  return y;
}

const scanKernel = (name: string, reducer: 'add' | 'multiply'): Lowering =>
  kernel(name, (b, inputs, attrs) => {
    const x = need(inputs, 'x');
    const a = attrsOf<{ axis: number; exclusive: boolean; reverse: boolean }>(attrs);
    const axis = axesOf(a.axis, x.shape.length)[0]!;
    const y = x.dtype === 'i1' ? hlo.convert(b, x, 'i32') : x;
    return inFloat32(b, y, (z) => cumulative(b, z, axis, a.exclusive, a.reverse, reducer));
  });

/** Kernels that combine along axes. */
export const reduceKernels: Lowering[] = [
  reduction('Sum', plain('add')),
  reduction('Prod', plain('multiply')),
  reduction('Mean', mean),
  reduction('Max', ordered('maximum')),
  reduction('Min', ordered('minimum')),
  reduction('All', (b, x, axes) => hlo.reduce(b, castTo(b, x, 'i1'), 'and', axes)),
  reduction('Any', (b, x, axes) => hlo.reduce(b, castTo(b, x, 'i1'), 'or', axes)),
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
