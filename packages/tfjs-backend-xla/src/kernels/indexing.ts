import { backend_util } from '@tensorflow/tfjs-core';
import { type Block, hlo, isFloat, numElements, type Value } from '../stablehlo';
import { attrsOf, kernel, type Lowering, need } from './kernel';
import { axesOf, beats, castTo, elementTypeOf, inFloat32 } from './values';

const range = (n: number, from = 0) => Array.from({ length: n }, (_, i) => i + from);

/** Rows of x along `axis` at run-time indices, the first `batchDims` axes going together. */
export function take(b: Block, x: Value, indices: Value, axis: number, batchDims = 0): Value {
  const index = castTo(b, indices, 'i32');
  const inner = index.shape.length - batchDims;
  const lead = range(axis);
  const trail = range(x.shape.length - axis - 1, axis + inner);
  const batch = range(batchDims);
  if (numElements(x.shape) === 0 || numElements(index.shape) === 0) {
    const shape = [...x.shape.slice(0, axis), ...index.shape.slice(batchDims), ...x.shape.slice(axis + 1)];
    return hlo.full(b, shape, 0, x.dtype);
  }
  if (batchDims === 0)
    return hlo.gather(b, x, index, {
      offset: [...lead, ...trail],
      collapsed: [axis],
      indexMap: [axis],
      indexVectorAxis: index.shape.length,
      sliceSizes: x.shape.map((d, i) => (i === axis ? 1 : d)),
    });
  // The result comes as [batch, indices, lead, trail]: bring the axes between batch and axis forward.
  const between = axis - batchDims;
  const y = hlo.gather(b, x, index, {
    offset: range(x.shape.length - batchDims - 1, index.shape.length),
    collapsed: [axis],
    operandBatching: batch,
    indicesBatching: batch,
    indexMap: [axis],
    indexVectorAxis: index.shape.length,
    sliceSizes: x.shape.map((d, i) => (i < batchDims || i === axis ? 1 : d)),
  });
  const order = [
    ...batch,
    ...range(between, index.shape.length),
    ...range(inner, batchDims),
    ...range(x.shape.length - axis - 1, index.shape.length + between),
  ];
  return hlo.transpose(b, y, order);
}

function gatherNd(b: Block, x: Value, indices: Value): Value {
  const depth = indices.shape.at(-1)!;
  const batch = indices.shape.slice(0, -1);
  const slice = x.shape.slice(depth);
  if (numElements(x.shape) === 0 || numElements(indices.shape) === 0)
    return hlo.full(b, [...batch, ...slice], 0, x.dtype);
  return hlo.gather(b, x, castTo(b, indices, 'i32'), {
    offset: range(slice.length, batch.length),
    collapsed: range(depth),
    indexMap: range(depth),
    indexVectorAxis: indices.shape.length - 1,
    sliceSizes: x.shape.map((d, i) => (i < depth ? 1 : d)),
  });
}

function scatterNd(b: Block, into: Value, indices: Value, updates: Value, mode: 'add' | 'set'): Value {
  if (indices.shape.length === 0 || numElements(updates.shape) === 0) return into;
  const index = castTo(
    b,
    indices.shape.length === 1 ? hlo.reshape(b, indices, [indices.shape[0]!, 1]) : indices,
    'i32',
  );
  const depth = index.shape.at(-1)!;
  const batch = index.shape.slice(0, -1);
  const slice = into.shape.slice(depth);
  const shaped =
    updates.shape.length === 0
      ? hlo.broadcastTo(b, updates, [...batch, ...slice])
      : hlo.reshape(b, updates, [...batch, ...slice]);
  return hlo.scatter(b, into, index, hlo.convert(b, shaped, into.dtype), mode, {
    window: range(slice.length, batch.length),
    inserted: range(depth),
    indexMap: range(depth),
    indexVectorAxis: index.shape.length - 1,
  });
}

/** Adds rows of x [n, …] to segments; rows with an id outside are dropped. */
function segmentSum(b: Block, x: Value, ids: Value, count: number): Value {
  const flat = hlo.reshape(b, castTo(b, ids, 'i32'), [numElements(ids.shape)]);
  const rows = hlo.reshape(b, x, [numElements(ids.shape), ...x.shape.slice(ids.shape.length)]);
  return inFloat32(b, rows, (r) =>
    scatterNd(
      b,
      hlo.full(b, [count, ...r.shape.slice(1)], 0, r.dtype),
      hlo.reshape(b, flat, [flat.shape[0]!, 1]),
      r,
      'add',
    ),
  );
}

function oneHot(b: Block, indices: Value, depth: number, on: number, off: number, dtype: string): Value {
  const rank = indices.shape.length;
  const shape = [...indices.shape, depth];
  const index = hlo.broadcastInDim(b, castTo(b, indices, 'i32'), shape, range(rank));
  const hit = hlo.compare(b, 'EQ', index, hlo.iota(b, shape, rank, 'i32'));
  const type = elementTypeOf(dtype);
  return hlo.select(b, hit, hlo.full(b, shape, on, type), hlo.full(b, shape, off, type));
}

/** [values, indices] of the k largest along the last axis, in descending order, the first of equals first and NaN last. */
function topK(b: Block, x: Value, k: number): [Value, Value] {
  const last = x.shape.length - 1;
  const limit = x.shape.map((d, i) => (i === last ? k : d));
  const zeros = x.shape.map(() => 0);
  if (numElements(limit) === 0) return [hlo.full(b, limit, 0, x.dtype), hlo.full(b, limit, 0, 'i32')];
  const y = x.dtype === 'i1' ? hlo.convert(b, x, 'i32') : x;
  const [values, indices] = hlo.sort(b, [y, hlo.iota(b, y.shape, last, 'i32')], last, (inner, [p, q]) =>
    isFloat(y.dtype) ? beats(inner, p!, q!, 'GT') : hlo.compare(inner, 'GT', p!, q!),
  );
  return [castTo(b, hlo.slice(b, values!, zeros, limit), x.dtype), hlo.slice(b, indices!, zeros, limit)];
}

/** How many entries of each sorted row lie before each value: all of them are counted, in parallel. */
function searchSorted(b: Block, sorted: Value, values: Value, side: 'left' | 'right'): Value {
  const [rows, n] = sorted.shape as [number, number];
  const m = values.shape[1]!;
  if (n === 0 || rows * m === 0) return hlo.full(b, [rows, m], 0, 'i32');
  const shape = [rows, m, n];
  const s = hlo.broadcastInDim(b, sorted, shape, [0, 2]);
  const v = hlo.broadcastInDim(b, hlo.convert(b, values, sorted.dtype), shape, [0, 1]);
  const before = hlo.compare(b, side === 'left' ? 'LT' : 'LE', s, v);
  return hlo.reduce(b, hlo.convert(b, before, 'i32'), 'add', [2]);
}

const flat = (b: Block, x: Value): Value => hlo.reshape(b, x, [numElements(x.shape)]);

function bincount(b: Block, x: Value, weights: Value, size: number, binary: boolean): Value {
  const weighted = numElements(weights.shape) > 0;
  const dtype = weights.dtype;
  const ones = hlo.full(b, x.shape, 1, dtype);
  const w = weighted && !binary ? weights : ones;
  const index = castTo(b, x, 'i32');
  if (x.shape.length === 1) {
    const zero = hlo.full(b, [size], 0, dtype);
    if (x.shape[0] === 0) return zero;
    return scatterNd(b, zero, hlo.reshape(b, index, [x.shape[0]!, 1]), w, binary ? 'set' : 'add');
  }
  const [rows, n] = x.shape as [number, number];
  const row = hlo.iota(b, [rows, n, 1], 0, 'i32');
  const pairs = hlo.concatenate(b, [row, hlo.reshape(b, index, [rows, n, 1])], 2);
  return scatterNd(b, hlo.full(b, [rows, size], 0, dtype), pairs, w, binary ? 'set' : 'add');
}

interface GatherAttrs {
  axis: number;
  batchDims: number;
}

const gatherKernel: Lowering = {
  kernelName: 'GatherV2',
  check({ x, indices }, attrs) {
    const { values } = indices!;
    if (!values || numElements(x!.shape) === 0) return;
    const axis = axesOf(attrsOf<GatherAttrs>(attrs).axis, x!.shape.length)[0]!;
    const rows = x!.shape[axis]!;
    for (let i = 0; i < values.length; i++) {
      const index = values[i]!;
      if (index < 0 || index >= rows)
        // The words that tfjs-core's own suite looks for.
        throw new Error(
          `GatherV2: the index value ${index} is not in [0, ${rows - 1}], the rows along axis ${axis} of [${x!.shape.join(',')}]`,
        );
    }
  },
  lower(b, inputs, attrs) {
    const x = need(inputs, 'x');
    const a = attrsOf<GatherAttrs>(attrs);
    const indices = need(inputs, 'indices');
    const axis = axesOf(a.axis, x.shape.length)[0]!;
    const batchDims = a.batchDims ?? 0;
    const shapeOf = (v: Value) => ({ shape: [...v.shape] }) as never;
    const { segment_util } = backend_util;
    segment_util.collectGatherOpShapeInfo(shapeOf(x), shapeOf(indices), axis, batchDims);
    return take(b, x, indices, axis, batchDims < 0 ? batchDims + indices.shape.length : batchDims);
  },
};

const gatherNdKernel: Lowering = {
  kernelName: 'GatherNd',
  check({ params, indices }) {
    const { values, shape } = indices!;
    const depth = shape.at(-1)!;
    if (!values || numElements(params!.shape) === 0) return;
    for (let i = 0; i < values.length; i++) {
      const size = params!.shape[i % depth]!;
      if (values[i]! < 0 || values[i]! >= size)
        throw new Error(
          `gatherND: index ${values[i]} is outside axis ${i % depth} of [${params!.shape.join(',')}]: it must be 0 to ${size - 1}`,
        );
    }
  },
  lower: (b, inputs) => gatherNd(b, need(inputs, 'params'), need(inputs, 'indices')),
};

/** Kernels that read or write at run-time indices. */
export const indexingKernels: Lowering[] = [
  gatherKernel,
  gatherNdKernel,
  kernel('ScatterNd', (b, inputs, attrs) => {
    const updates = need(inputs, 'updates');
    const { shape } = attrsOf<{ shape: number[] }>(attrs);
    return scatterNd(b, hlo.full(b, shape, 0, updates.dtype), need(inputs, 'indices'), updates, 'add');
  }),
  kernel('TensorScatterUpdate', (b, inputs) =>
    scatterNd(b, need(inputs, 'tensor'), need(inputs, 'indices'), need(inputs, 'updates'), 'set'),
  ),
  kernel('SparseToDense', (b, inputs, attrs) => {
    const values = need(inputs, 'sparseValues');
    const { outputShape } = attrsOf<{ outputShape: number[] }>(attrs);
    const fill = hlo.broadcastTo(
      b,
      hlo.convert(b, hlo.reshape(b, need(inputs, 'defaultValue'), []), values.dtype),
      outputShape,
    );
    const indices = need(inputs, 'sparseIndices');
    return scatterNd(
      b,
      fill,
      indices.shape.length === 0 ? hlo.reshape(b, indices, [1, 1]) : indices,
      values,
      'set',
    );
  }),
  kernel('UnsortedSegmentSum', (b, inputs, attrs) =>
    segmentSum(
      b,
      need(inputs, 'x'),
      need(inputs, 'segmentIds'),
      attrsOf<{ numSegments: number }>(attrs).numSegments,
    ),
  ),
  kernel('OneHot', (b, inputs, attrs) => {
    const a = attrsOf<{ depth: number; onValue: number; offValue: number; dtype: string }>(attrs);
    return oneHot(b, need(inputs, 'indices'), a.depth, a.onValue, a.offValue, a.dtype);
  }),
  kernel('TopK', (b, inputs, attrs) => topK(b, need(inputs, 'x'), attrsOf<{ k: number }>(attrs).k)),
  kernel('SearchSorted', (b, inputs, attrs) =>
    searchSorted(
      b,
      need(inputs, 'sortedSequence'),
      need(inputs, 'values'),
      attrsOf<{ side: 'left' | 'right' }>(attrs).side,
    ),
  ),
  kernel('Bincount', (b, inputs, attrs) =>
    bincount(
      b,
      flat(b, need(inputs, 'x')),
      flat(b, need(inputs, 'weights')),
      attrsOf<{ size: number }>(attrs).size,
      false,
    ),
  ),
  kernel('DenseBincount', (b, inputs, attrs) => {
    const a = attrsOf<{ size: number; binaryOutput?: boolean }>(attrs);
    return bincount(b, need(inputs, 'x'), need(inputs, 'weights'), a.size, a.binaryOutput ?? false);
  }),
];
