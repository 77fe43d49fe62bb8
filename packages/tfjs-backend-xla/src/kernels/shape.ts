import { backend_util, slice_util } from '@tensorflow/tfjs-core';
import { type Block, hlo, isFloat, numElements, type Value } from '../stablehlo';
import { type Attrs, attrsOf, kernel, type Lowering, listed, need } from './kernel';
import { axesOf, promote } from './values';

const one = (
  name: string,
  input: string,
  fn: (b: Block, x: Value, attrs: Attrs) => Value | Value[],
): Lowering => kernel(name, (b, inputs, attrs) => fn(b, need(inputs, input), attrs));

/** Resolves one -1 in a shape. */
function resolveShape(shape: readonly number[], size: number): number[] {
  const known = shape.reduce((n, d) => (d === -1 ? n : n * d), 1);
  return shape.map((d) => (d === -1 ? size / known : d));
}

function concat(b: Block, xs: readonly Value[], axis: number): Value {
  backend_util.assertParamsConsistent(
    xs.map((x) => [...x.shape]),
    axis,
  );
  const dtype = xs.map((x) => x.dtype).reduce(promote);
  // tfjs lets empty parts of another rank through.
  const used = xs.length > 1 ? xs.filter((x) => numElements(x.shape) > 0) : xs;
  const parts = used.length > 0 ? used : xs.slice(0, 1);
  if (used.length === 0) {
    const shape = [...xs[0]!.shape];
    shape[axis] = xs.reduce((n, x) => n + (x.shape[axis] ?? 0), 0);
    return hlo.full(b, shape, 0, dtype);
  }
  return hlo.concatenate(
    b,
    parts.map((x) => hlo.convert(b, x, dtype)),
    axis,
  );
}

const zerosOf = (x: Value): number[] => x.shape.map(() => 0);

function split(b: Block, x: Value, axis: number, sizes: readonly number[]): Value[] {
  let at = 0;
  return sizes.map((size) => {
    const starts = zerosOf(x);
    const limits = [...x.shape];
    starts[axis] = at;
    at += size;
    limits[axis] = at;
    return hlo.slice(b, x, starts, limits);
  });
}

/** Repeats x `reps[i]` times along axis i. */
export function tile(b: Block, x: Value, reps: readonly number[]): Value {
  const shape = x.shape.flatMap((d, i) => [reps[i]!, d]);
  const spread = hlo.broadcastInDim(
    b,
    x,
    shape,
    x.shape.map((_, i) => 2 * i + 1),
  );
  return hlo.reshape(
    b,
    spread,
    x.shape.map((d, i) => d * reps[i]!),
  );
}

/** Mirror padding as slices turned around and joined; `edge` 0 repeats the border, 1 does not. */
function mirrorPad(
  b: Block,
  x: Value,
  paddings: readonly (readonly [number, number])[],
  edge: number,
): Value {
  return paddings.reduce((y, [before, after], axis) => {
    const size = y.shape[axis]!;
    const range = (from: number, to: number) => {
      const starts = zerosOf(y);
      const limits = [...y.shape];
      starts[axis] = from;
      limits[axis] = to;
      return hlo.reverse(b, hlo.slice(b, y, starts, limits), [axis]);
    };
    const parts = [
      ...(before ? [range(edge, edge + before)] : []),
      y,
      ...(after ? [range(size - edge - after, size - edge)] : []),
    ];
    return hlo.concatenate(b, parts, axis);
  }, x);
}

function stridedSlice(b: Block, x: Value, attrs: Attrs): Value {
  const a = attrsOf<{
    begin: number[];
    end: number[];
    strides: number[];
    beginMask: number;
    endMask: number;
    ellipsisMask: number;
    newAxisMask: number;
    shrinkAxisMask: number;
  }>(attrs);
  const info = slice_util.sliceInfo(
    [...x.shape],
    a.begin,
    a.end,
    a.strides,
    a.beginMask,
    a.endMask,
    a.ellipsisMask,
    a.newAxisMask,
    a.shrinkAxisMask,
  );
  if (info.isIdentity) return hlo.reshape(b, x, info.finalShape);
  if (info.finalShape.some((d) => d === 0)) return hlo.full(b, info.finalShape, 0, x.dtype);
  const [starts, limits, steps, reversed]: [number[], number[], number[], number[]] = [[], [], [], []];
  x.shape.forEach((_, i) => {
    const [begin, end, step] = [info.begin[i]!, info.end[i]!, info.strides[i]!];
    const count = Math.max(Math.ceil((end - begin) / step), 0);
    if (step > 0) {
      starts.push(begin);
      limits.push(count === 0 ? begin : begin + (count - 1) * step + 1);
      steps.push(step);
    } else {
      reversed.push(i);
      starts.push(begin + (count - 1) * step);
      limits.push(begin + 1);
      steps.push(-step);
    }
  });
  return hlo.reshape(b, hlo.reverse(b, hlo.slice(b, x, starts, limits, steps), reversed), info.finalShape);
}

function spaceToBatch(
  b: Block,
  x: Value,
  block: readonly number[],
  paddings: readonly (readonly number[])[],
): Value {
  const n = block.length;
  const low = x.shape.map((_, i) => (i >= 1 && i <= n ? paddings[i - 1]![0]! : 0));
  const high = x.shape.map((_, i) => (i >= 1 && i <= n ? paddings[i - 1]![1]! : 0));
  const padded = hlo.pad(b, x, hlo.scalar(b, 0, x.dtype), low, high);
  const [batch, ...rest] = padded.shape;
  const space = rest.slice(0, n);
  const depth = rest.slice(n);
  const cut = hlo.reshape(b, padded, [
    batch!,
    ...space.flatMap((d, i) => [d / block[i]!, block[i]!]),
    ...depth,
  ]);
  const order = [
    ...space.map((_, i) => 2 * i + 2),
    0,
    ...space.map((_, i) => 2 * i + 1),
    ...depth.map((_, i) => 2 * n + 1 + i),
  ];
  return hlo.reshape(b, hlo.transpose(b, cut, order), [
    batch! * block.reduce((p, q) => p * q, 1),
    ...space.map((d, i) => d / block[i]!),
    ...depth,
  ]);
}

function batchToSpace(
  b: Block,
  x: Value,
  block: readonly number[],
  crops: readonly (readonly number[])[],
): Value {
  const n = block.length;
  const batch = x.shape[0]! / block.reduce((p, q) => p * q, 1);
  const space = x.shape.slice(1, n + 1);
  const depth = x.shape.slice(n + 1);
  const cut = hlo.reshape(b, x, [...block, batch, ...space, ...depth]);
  const order = [n, ...space.flatMap((_, i) => [n + 1 + i, i]), ...depth.map((_, i) => 2 * n + 1 + i)];
  const joined = hlo.reshape(b, hlo.transpose(b, cut, order), [
    batch,
    ...space.map((d, i) => d * block[i]!),
    ...depth,
  ]);
  const starts = joined.shape.map((_, i) => (i >= 1 && i <= n ? crops[i - 1]![0]! : 0));
  const limits = joined.shape.map((d, i) => (i >= 1 && i <= n ? d - crops[i - 1]![1]! : d));
  return hlo.slice(b, joined, starts, limits);
}

/** Kernels that rearrange elements. */
export const shapeKernels: Lowering[] = [
  one('Reshape', 'x', (b, x, attrs) =>
    hlo.reshape(b, x, resolveShape(attrsOf<{ shape: number[] }>(attrs).shape, numElements(x.shape))),
  ),
  one('ExpandDims', 'input', (b, x, attrs) => {
    const { dim } = attrsOf<{ dim: number }>(attrs);
    const at = axesOf(dim, x.shape.length + 1)[0]!;
    return hlo.reshape(b, x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
  }),
  one('Transpose', 'x', (b, x, attrs) => hlo.transpose(b, x, attrsOf<{ perm: number[] }>(attrs).perm)),
  one('BroadcastTo', 'x', (b, x, attrs) => hlo.broadcastTo(b, x, attrsOf<{ shape: number[] }>(attrs).shape)),
  one('Tile', 'x', (b, x, attrs) => tile(b, x, attrsOf<{ reps: number[] }>(attrs).reps)),
  kernel('Concat', (b, inputs, attrs) => {
    const xs = listed(inputs);
    const { axis } = attrsOf<{ axis: number }>(attrs);
    return concat(b, xs, axesOf(axis, xs[0]!.shape.length)[0]!);
  }),
  kernel('Pack', (b, inputs, attrs) => {
    const xs = listed(inputs);
    const { axis } = attrsOf<{ axis: number }>(attrs);
    const at = axesOf(axis, xs[0]!.shape.length + 1)[0]!;
    const rows = xs.map((x) => hlo.reshape(b, x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]));
    const dtype = xs.map((x) => x.dtype).reduce(promote);
    if (xs.some((x) => isFloat(x.dtype) !== isFloat(dtype) || (!isFloat(dtype) && x.dtype !== dtype)))
      throw new Error(`stack needs tensors of one dtype, got ${xs.map((x) => x.dtype).join(', ')}`);
    return hlo.concatenate(
      b,
      rows.map((x) => hlo.convert(b, x, dtype)),
      at,
    );
  }),
  one('Unpack', 'value', (b, x, attrs) => {
    const axis = axesOf(attrsOf<{ axis: number }>(attrs).axis, x.shape.length)[0]!;
    const parts = split(b, x, axis, Array<number>(x.shape[axis]!).fill(1));
    return parts.map((p) =>
      hlo.reshape(
        b,
        p,
        x.shape.filter((_, i) => i !== axis),
      ),
    );
  }),
  one('SplitV', 'x', (b, x, attrs) => {
    const { numOrSizeSplits, axis } = attrsOf<{ numOrSizeSplits: number | number[]; axis: number }>(attrs);
    const at = axesOf(axis, x.shape.length)[0]!;
    const total = x.shape[at]!;
    if (typeof numOrSizeSplits === 'number')
      return split(b, x, at, Array<number>(numOrSizeSplits).fill(total / numOrSizeSplits));
    const known = numOrSizeSplits.reduce((n, s) => (s === -1 ? n : n + s), 0);
    const sizes = numOrSizeSplits.map((s) => (s === -1 ? total - known : s));
    if (sizes.reduce((n, s) => n + s, 0) !== total)
      throw new Error(`split sizes [${sizes.join(',')}] do not add up to ${total}`);
    return split(b, x, at, sizes);
  }),
  one('Slice', 'x', (b, x, attrs) => {
    const a = attrsOf<{ begin: number | number[]; size: number | number[] }>(attrs);
    const [begin, size] = slice_util.parseSliceParams({ shape: [...x.shape] } as never, a.begin, a.size);
    slice_util.assertParamsValid({ shape: [...x.shape] } as never, begin!, size!);
    return hlo.slice(
      b,
      x,
      begin!,
      begin!.map((s, i) => s + size![i]!),
    );
  }),
  one('StridedSlice', 'x', stridedSlice),
  one('PadV2', 'x', (b, x, attrs) => {
    const a = attrsOf<{ paddings: [number, number][]; constantValue: number }>(attrs);
    return hlo.pad(
      b,
      x,
      hlo.scalar(b, a.constantValue, x.dtype),
      a.paddings.map((p) => p[0]),
      a.paddings.map((p) => p[1]),
    );
  }),
  one('MirrorPad', 'x', (b, x, attrs) => {
    const a = attrsOf<{ paddings: [number, number][]; mode: string }>(attrs);
    return mirrorPad(b, x, a.paddings, a.mode === 'reflect' ? 1 : 0);
  }),
  one('Reverse', 'x', (b, x, attrs) =>
    hlo.reverse(b, x, axesOf(attrsOf<{ dims: number[] }>(attrs).dims, x.shape.length)),
  ),
  one('FlipLeftRight', 'image', (b, x) => hlo.reverse(b, x, [2])),
  one('SpaceToBatchND', 'x', (b, x, attrs) => {
    const a = attrsOf<{ blockShape: number[]; paddings: number[][] }>(attrs);
    return spaceToBatch(b, x, a.blockShape, a.paddings);
  }),
  one('BatchToSpaceND', 'x', (b, x, attrs) => {
    const a = attrsOf<{ blockShape: number[]; crops: number[][] }>(attrs);
    return batchToSpace(b, x, a.blockShape, a.crops);
  }),
  one('DepthToSpace', 'x', (b, x, attrs) => {
    const { blockSize: s, dataFormat } = attrsOf<{ blockSize: number; dataFormat: string }>(attrs);
    if (dataFormat !== 'NHWC') throw new Error(`DepthToSpace takes dataFormat NHWC, got ${dataFormat}`);
    const [n, h, w, c] = x.shape as [number, number, number, number];
    const cut = hlo.reshape(b, x, [n, h, w, s, s, c / (s * s)]);
    return hlo.reshape(b, hlo.transpose(b, cut, [0, 1, 3, 2, 4, 5]), [n, h * s, w * s, c / (s * s)]);
  }),
  one('Diag', 'x', (b, x) => {
    const n = numElements(x.shape);
    const flat = hlo.broadcastInDim(b, hlo.reshape(b, x, [n]), [n, n], [0]);
    const on = hlo.compare(b, 'EQ', hlo.iota(b, [n, n], 0, 'i32'), hlo.iota(b, [n, n], 1, 'i32'));
    return hlo.reshape(b, hlo.select(b, on, flat, hlo.full(b, [n, n], 0, x.dtype)), [...x.shape, ...x.shape]);
  }),
];
