import { type Block, hlo, type Value } from '../stablehlo';
import { take } from './indexing';
import { attrsOf, kernel, type Lowering, need } from './kernel';
import { dot } from './matmul';
import { castTo, inFloat32 } from './values';

interface ResizeAttrs {
  alignCorners: boolean;
  halfPixelCenters: boolean;
  size: [number, number];
}

/** Input cells for one output cell, as tfjs (and TensorFlow) scale. */
function scaleOf(inSize: number, outSize: number, alignCorners: boolean): number {
  return alignCorners && outSize > 1 ? (inSize - 1) / (outSize - 1) : inSize / outSize;
}

function nearestIndices(inSize: number, outSize: number, a: ResizeAttrs): number[] {
  const scale = scaleOf(inSize, outSize, a.alignCorners);
  return Array.from({ length: outSize }, (_, i) => {
    const at = a.halfPixelCenters ? scale * (i + 0.5) : scale * i;
    const cell = a.alignCorners ? Math.round(at) : Math.floor(at);
    return Math.max(0, Math.min(inSize - 1, cell));
  });
}

/** The two input cells that each output cell lies between along an axis, and how far it is from the first. */
interface Taps {
  readonly low: number[];
  readonly high: number[];
  readonly weight: number[];
}

function bilinearTaps(inSize: number, outSize: number, a: ResizeAttrs): Taps {
  const scale = scaleOf(inSize, outSize, a.alignCorners);
  const cell = (at: number) => Math.max(0, Math.min(inSize - 1, at));
  const at = Array.from({ length: outSize }, (_, i) =>
    a.halfPixelCenters ? scale * (i + 0.5) - 0.5 : scale * i,
  );
  const low = at.map((p) => cell(Math.floor(p)));
  // Before the first centre and behind the last both cells are one, so that any weight gives its value.
  return { low, high: at.map((p) => cell(Math.ceil(p))), weight: at.map((p, i) => p - low[i]!) };
}

/** Interpolation along one axis as a matrix [outSize, inSize]. */
function bilinearMatrix(inSize: number, outSize: number, a: ResizeAttrs): Float32Array {
  const { low, high, weight } = bilinearTaps(inSize, outSize, a);
  const matrix = new Float32Array(outSize * inSize);
  for (let i = 0; i < outSize; i++) {
    matrix[i * inSize + low[i]!]! += 1 - weight[i]!;
    matrix[i * inSize + high[i]!]! += weight[i]!;
  }
  return matrix;
}

function nearestMatrix(inSize: number, outSize: number, a: ResizeAttrs): Float32Array {
  const matrix = new Float32Array(outSize * inSize);
  nearestIndices(inSize, outSize, a).forEach((cell, i) => {
    matrix[i * inSize + cell] = 1;
  });
  return matrix;
}

/** Interpolation matrices above this size would bloat the module: 512 × 512. */
const MAX_MATRIX = 1 << 18;

/**
 * Applies [to, from] (or its transpose) along one axis of an NHWC image. With two taps per row, a gather
 * beats the dense product for long axes; both read the same table.
 */
function along(
  b: Block,
  x: Value,
  axis: 1 | 2,
  matrix: Float32Array,
  to: number,
  from: number,
  transpose: boolean,
): Value {
  const table = hlo.constant(b, matrix, [to, from], 'f32');
  const y = dot(b, x, table, { lhsContract: [axis], rhsContract: [transpose ? 0 : 1] });
  const order = axis === 1 ? [0, 3, 1, 2] : [0, 1, 3, 2];
  return hlo.transpose(b, y, order);
}

/** Along both axes of an image, whose size is `inSize`, to `a.size`; `transpose` goes back. */
function resizeBy(
  b: Block,
  x: Value,
  a: ResizeAttrs,
  inSize: readonly [number, number],
  matrixOf: typeof bilinearMatrix,
  transpose: boolean,
): Value {
  const [h, w] = inSize;
  const [oh, ow] = a.size;
  const y = along(b, x, 1, matrixOf(h, oh, a), oh, h, transpose);
  return along(b, y, 2, matrixOf(w, ow, a), ow, w, transpose);
}

/** Two rows of the image for each output row, blended: for axes too long for a table. */
function blend(b: Block, x: Value, axis: 1 | 2, outSize: number, a: ResizeAttrs): Value {
  const { low, high, weight } = bilinearTaps(x.shape[axis]!, outSize, a);
  const weights = hlo.constant(b, Float32Array.from(weight), [outSize], 'f32');
  const rows = (cells: number[]) => take(b, x, hlo.constant(b, cells, [outSize], 'i32'), axis);
  const [l, h] = [rows(low), rows(high)];
  return hlo.add(b, l, hlo.mul(b, hlo.sub(b, h, l), hlo.broadcastInDim(b, weights, l.shape, [axis])));
}

/** The transpose of `blend`: each row's gradient is split between the two rows that it was made of. */
function blendBack(b: Block, dy: Value, axis: 1 | 2, inSize: number, a: ResizeAttrs): Value {
  const { low, high, weight } = bilinearTaps(inSize, dy.shape[axis]!, a);
  const weights = hlo.constant(b, Float32Array.from(weight), [weight.length], 'f32');
  const second = hlo.mul(b, dy, hlo.broadcastInDim(b, weights, dy.shape, [axis]));
  return hlo.add(
    b,
    scatterRows(b, hlo.sub(b, dy, second), axis, low, inSize),
    scatterRows(b, second, axis, high, inSize),
  );
}

const images = (x: Value): [number, number] => [x.shape[1]!, x.shape[2]!];
const fits = (x: Value, size: readonly number[], limit = MAX_MATRIX / 4) =>
  x.shape[1]! * size[0]! <= limit && x.shape[2]! * size[1]! <= limit;

/** The transpose of a gather along an axis: rows added back where they came from. */
function scatterRows(b: Block, dy: Value, axis: 1 | 2, cells: readonly number[], inSize: number): Value {
  const shape = dy.shape.map((d, i) => (i === axis ? inSize : d));
  return hlo.scatter(
    b,
    hlo.full(b, shape, 0, dy.dtype),
    hlo.constant(b, cells, [cells.length], 'i32'),
    dy,
    'add',
    {
      window: [0, 1, 2, 3].filter((i) => i !== axis),
      inserted: [axis],
      indexMap: [axis],
      indexVectorAxis: 1,
      sorted: true,
    },
  );
}

/** Resizing of NHWC images and its gradients. */
export const resizeKernels: Lowering[] = [
  kernel('ResizeBilinear', (b, inputs, attrs) => {
    const a = attrsOf<ResizeAttrs>(attrs);
    return inFloat32(
      b,
      castTo(b, need(inputs, 'images'), need(inputs, 'images').dtype === 'bf16' ? 'bf16' : 'f32'),
      (x) =>
        fits(x, a.size)
          ? resizeBy(b, x, a, images(x), bilinearMatrix, false)
          : blend(b, blend(b, x, 1, a.size[0], a), 2, a.size[1], a),
    );
  }),
  kernel('ResizeBilinearGrad', (b, inputs, attrs) => {
    const x = need(inputs, 'images');
    const dy = need(inputs, 'dy');
    const a = { ...attrsOf<ResizeAttrs>(attrs), size: images(dy) };
    const [h, w] = images(x);
    return inFloat32(b, dy, (g) =>
      fits(x, a.size, MAX_MATRIX)
        ? resizeBy(b, g, a, [h, w], bilinearMatrix, true)
        : blendBack(b, blendBack(b, g, 1, h, a), 2, w, a),
    );
  }),
  kernel('ResizeNearestNeighbor', (b, inputs, attrs) => {
    const a = attrsOf<ResizeAttrs>(attrs);
    const x = need(inputs, 'images');
    const rows = (y: Value, axis: 1 | 2, size: number) =>
      take(b, y, hlo.constant(b, nearestIndices(y.shape[axis]!, size, a), [size], 'i32'), axis);
    return rows(rows(x, 1, a.size[0]), 2, a.size[1]);
  }),
  kernel('ResizeNearestNeighborGrad', (b, inputs, attrs) => {
    const x = need(inputs, 'images');
    const dy = need(inputs, 'dy');
    const a = { ...attrsOf<ResizeAttrs>(attrs), size: images(dy) };
    const [h, w] = images(x);
    return inFloat32(b, dy, (g) => {
      if (fits(x, a.size)) return resizeBy(b, g, a, [h, w], nearestMatrix, true);
      const y = scatterRows(b, g, 1, nearestIndices(h, a.size[0], a), h);
      return scatterRows(b, y, 2, nearestIndices(w, a.size[1], a), w);
    });
  }),
];
