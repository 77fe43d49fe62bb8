import { backend_util } from '@tensorflow/tfjs-core';
import { type Block, hlo, type Value, type WindowOptions } from '../stablehlo';
import { attrsOf, kernel, type Lowering, need } from './kernel';
import { inFloat32, like } from './values';
import { around, atOffset, offsets, padForWindows, type Window } from './window';

interface PoolAttrs {
  filterSize: number | number[];
  strides: number | number[];
  pad: 'valid' | 'same' | number;
  dimRoundingMode?: 'floor' | 'round' | 'ceil';
  dataFormat?: string;
  includeBatchInIndex?: boolean;
}

function windowOf(shape: readonly number[], a: PoolAttrs): Window {
  if (a.dataFormat === 'NCDHW') throw new Error('pooling takes dataFormat NDHWC, got NCDHW');
  const args = [a.filterSize, a.strides, 1, a.pad, a.dimRoundingMode] as never[];
  const [space, before]: ['2d' | '3d', string[]] =
    shape.length === 4 ? ['2d', ['top', 'left']] : ['3d', ['front', 'top', 'left']];
  const compute = (space === '2d'
    ? backend_util.computePool2DInfo
    : backend_util.computePool3DInfo) as unknown as (
    ...all: unknown[]
  ) => Record<string, number> & { padInfo: Record<string, number> };
  const info = compute([...shape], ...args);
  const names = space === '2d' ? ['Height', 'Width'] : ['Depth', 'Height', 'Width'];
  const pick = (prefix: string) => names.map((n) => info[`${prefix}${n}`]!);
  const w = {
    inSize: pick('in'),
    outSize: pick('out'),
    size: pick('effectiveFilter'),
    strides: pick('stride'),
  };
  return {
    ...w,
    dilations: names.map(() => 1),
    padding: before.map((key, i): [number, number] => {
      const low = info.padInfo[key]!;
      return [low, (w.outSize[i]! - 1) * w.strides[i]! + w.size[i]! - low - w.inSize[i]!];
    }),
  };
}

/** What lies behind the last window, as a number of elements to cut on each axis. */
const excess = (w: Window): number[] => w.padding.map(([, after]) => Math.max(-after, 0));

/** x without the elements that no window sees. */
function crop(b: Block, x: Value, w: Window): Value {
  const cut = around(excess(w), 0);
  return hlo.slice(
    b,
    x,
    x.shape.map(() => 0),
    x.shape.map((d, i) => d - cut[i]!),
  );
}

/** Zeros where `crop` had cut. */
const uncrop = (b: Block, x: Value, w: Window): Value =>
  hlo.pad(
    b,
    x,
    hlo.scalar(b, 0, x.dtype),
    x.shape.map(() => 0),
    around(excess(w), 0),
  );

const options = (w: Window): WindowOptions => ({
  window: around(w.size, 1),
  strides: around(w.strides, 1),
  padding: around<[number, number]>(
    w.padding.map(([low, high]) => [low, Math.max(high, 0)]),
    [0, 0],
  ),
});

/** How many real elements each window holds, broadcast to the shape of the output. */
function counts(b: Block, shape: readonly number[], w: Window): Value {
  const axes = w.size.map((size, axis) =>
    Array.from({ length: w.outSize[axis]! }, (_, i) => {
      const start = i * w.strides[axis]! - w.padding[axis]![0];
      // A window in the padding alone averages nothing to zero.
      return Math.max(Math.min(start + size, w.inSize[axis]!) - Math.max(start, 0), 1);
    }),
  );
  const grown = axes.map((values, i) =>
    hlo.broadcastInDim(b, hlo.constant(b, values, [values.length], 'f32'), shape, [i + 1]),
  );
  return grown.reduce((p, q) => hlo.mul(b, p, q));
}

function averagePool(b: Block, x: Value, w: Window): Value {
  const sum = hlo.reduceWindow(b, crop(b, x, w), 'add', options(w));
  return hlo.div(b, sum, counts(b, sum.shape, w));
}

/** Each input cell gets the mean's share of every window that it was in. */
function averagePoolGrad(b: Block, dy: Value, w: Window): Value {
  const share = hlo.div(b, dy, counts(b, dy.shape, w));
  const padding = w.padding.map(([before], i): [number, number] => {
    const low = w.size[i]! - 1 - before;
    const spread = (w.outSize[i]! - 1) * w.strides[i]! + 1;
    return [low, w.inSize[i]! + w.size[i]! - 1 - spread - low];
  });
  // Cut in front, where a window begins before the image by more than its own size.
  const low = padding.map(([p]) => p);
  const high = padding.map(([, p]) => p);
  const zero = hlo.scalar(b, 0, dy.dtype);
  const spread = hlo.pad(
    b,
    share,
    zero,
    around(low, 0),
    around(high, 0),
    around(
      w.strides.map((s) => s - 1),
      0,
    ),
  );
  return hlo.reduceWindow(b, spread, 'add', { window: around(w.size, 1) });
}

/** Below every number where x is NaN: in tfjs NaN never wins, in XLA that depends on the platform. */
const withoutNaN = (b: Block, x: Value): Value =>
  x.dtype === 'i32' ? x : hlo.select(b, hlo.compare(b, 'NE', x, x), like(b, x, Number.NEGATIVE_INFINITY), x);

const maxPool = (b: Block, x: Value, w: Window): Value =>
  hlo.reduceWindow(b, withoutNaN(b, crop(b, x, w)), 'maximum', options(w));

const maxPoolGrad = (b: Block, dy: Value, x: Value, w: Window): Value =>
  uncrop(b, hlo.selectAndScatter(b, withoutNaN(b, crop(b, x, w)), dy, 'GE', options(w)), w);

/** [maxima, flat position of each in the image], the first of equals. */
function maxPoolWithArgmax(b: Block, x: Value, w: Window, withBatch: boolean): Value[] {
  const [, height, width, channels] = x.shape as [number, number, number, number];
  const axis = (i: number) => hlo.iota(b, x.shape, i, 'i32');
  const scaled = (v: Value, by: number) => hlo.mul(b, v, like(b, v, by));
  const rows = hlo.add(b, scaled(axis(1), width * channels), scaled(axis(2), channels));
  const inImage = hlo.add(b, rows, axis(3));
  const position = withBatch ? hlo.add(b, inImage, scaled(axis(0), height * width * channels)) : inImage;
  const values = padForWindows(b, x, w, Number.NEGATIVE_INFINITY);
  const places = padForWindows(b, position, w, 0);
  let best: [Value, Value] | undefined;
  for (const offset of offsets(w.size)) {
    const [value, place] = [atOffset(b, values, w, offset), atOffset(b, places, w, offset)];
    if (!best) best = [value, place];
    else {
      // NaN never wins, as in tfjs.
      const better = hlo.or(b, hlo.compare(b, 'GT', value, best[0]), hlo.compare(b, 'NE', best[0], best[0]));
      best = [hlo.select(b, better, value, best[0]), hlo.select(b, better, place, best[1])];
    }
  }
  return best!;
}

/** tfjs passes x through a window of one cell whenever the size stays, whatever the stride and padding. */
const isIdentity = (w: Window): boolean => w.size.every((n, i) => n === 1 && w.inSize[i] === w.outSize[i]);

const forward = (name: string, fn: (b: Block, x: Value, w: Window) => Value): Lowering =>
  kernel(name, (b, inputs, attrs) => {
    const x = need(inputs, 'x');
    const w = windowOf(x.shape, attrsOf(attrs));
    if (isIdentity(w)) return x;
    return inFloat32(b, x.dtype === 'i1' ? hlo.convert(b, x, 'i32') : x, (y) => fn(b, y, w));
  });

const backward = (name: string, fn: (b: Block, dy: Value, x: Value, w: Window) => Value): Lowering =>
  kernel(name, (b, inputs, attrs) => {
    const x = need(inputs, 'input');
    return inFloat32(b, need(inputs, 'dy'), (dy) =>
      fn(b, dy, hlo.convert(b, x, dy.dtype), windowOf(x.shape, attrsOf(attrs))),
    );
  });

/** Pooling and its gradients. */
export const poolKernels: Lowering[] = [
  ...['AvgPool', 'AvgPool3D'].map((name) =>
    forward(name, (b, x, w) => averagePool(b, hlo.convert(b, x, 'f32'), w)),
  ),
  ...['MaxPool', 'MaxPool3D'].map((name) => forward(name, maxPool)),
  ...['AvgPoolGrad', 'AvgPool3DGrad'].map((name) =>
    backward(name, (b, dy, _, w) => averagePoolGrad(b, dy, w)),
  ),
  ...['MaxPoolGrad', 'MaxPool3DGrad'].map((name) => backward(name, maxPoolGrad)),
  kernel('MaxPoolWithArgmax', (b, inputs, attrs) => {
    const x = need(inputs, 'x');
    const a = attrsOf<PoolAttrs>(attrs);
    return maxPoolWithArgmax(b, x, windowOf(x.shape, a), a.includeBatchInIndex ?? false);
  }),
];
