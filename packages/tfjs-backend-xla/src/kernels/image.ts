import { backend_util } from '@tensorflow/tfjs-core';
import { type Block, hlo, type Value } from '../stablehlo';
import { attrsOf, kernel, type Lowering, need } from './kernel';
import { castTo, like } from './values';

/** Coordinates [n, h, w], f32, in cells of the image. */
interface Points {
  readonly batch: Value;
  readonly y: Value;
  readonly x: Value;
}

const all = (b: Block, ...conditions: Value[]): Value => conditions.reduce((p, q) => hlo.and(b, p, q));

/** Math.round: halves go up. */
const round = (b: Block, v: Value): Value => hlo.unary(b, 'floor', hlo.add(b, v, like(b, v, 0.5)));

const inside = (b: Block, v: Value, size: number): Value =>
  hlo.and(b, hlo.compare(b, 'GE', v, like(b, v, 0)), hlo.compare(b, 'LE', v, like(b, v, size - 1)));

/** Spreads [n, h, w] over the channels of an image. */
const perPixel = (b: Block, v: Value, channels: number): Value =>
  hlo.broadcastInDim(b, v, [...v.shape, channels], [0, 1, 2]);

/** The pixels at whole coordinates, [n, h, w, c]; those outside are moved to the border. */
function pixels(b: Block, image: Value, p: Points): Value {
  const column = (v: Value) => hlo.reshape(b, castTo(b, v, 'i32'), [...v.shape, 1]);
  const indices = hlo.concatenate(b, [column(p.batch), column(p.y), column(p.x)], 3);
  return hlo.gather(b, image, indices, {
    offset: [3],
    collapsed: [0, 1, 2],
    indexMap: [0, 1, 2],
    indexVectorAxis: 3,
    sliceSizes: [1, 1, 1, image.shape[3]!],
  });
}

function mix(b: Block, from: Value, to: Value, weight: Value): Value {
  return hlo.add(b, from, hlo.mul(b, hlo.sub(b, to, from), perPixel(b, weight, from.shape[3]!)));
}

interface CropAttrs {
  cropSize: [number, number];
  method: 'bilinear' | 'nearest';
  extrapolationValue: number;
}

/** Places of a crop's cells along one axis of the image, [boxes, cells]. */
function cropAxis(b: Block, boxes: Value, axis: 0 | 1, cells: number, size: number): Value {
  const n = boxes.shape[0]!;
  const column = (i: number) =>
    hlo.broadcastInDim(b, hlo.reshape(b, hlo.slice(b, boxes, [0, i], [n, i + 1]), [n]), [n, cells], [0]);
  const [start, end] = [column(axis), column(axis + 2)];
  const last = like(b, start, size - 1);
  if (cells === 1) return hlo.mul(b, hlo.mul(b, hlo.add(b, start, end), like(b, start, 0.5)), last);
  const step = hlo.div(b, hlo.mul(b, hlo.sub(b, end, start), last), like(b, start, cells - 1));
  return hlo.add(b, hlo.mul(b, start, last), hlo.mul(b, hlo.iota(b, [n, cells], 1, 'f32'), step));
}

function cropAndResize(b: Block, image: Value, boxes: Value, boxIndex: Value, a: CropAttrs): Value {
  const [batch, height, width, channels] = image.shape as [number, number, number, number];
  const [h, w] = a.cropSize;
  const shape = [boxes.shape[0]!, h, w];
  const source = castTo(b, image, 'f32');
  const y = hlo.broadcastInDim(b, cropAxis(b, boxes, 0, h, height), shape, [0, 1]);
  const x = hlo.broadcastInDim(b, cropAxis(b, boxes, 1, w, width), shape, [0, 2]);
  const index = hlo.broadcastInDim(b, castTo(b, boxIndex, 'i32'), shape, [0]);
  const at = (row: Value, column: Value) => pixels(b, source, { batch: index, y: row, x: column });
  let value: Value;
  if (a.method === 'bilinear') {
    const [top, left] = [hlo.unary(b, 'floor', y), hlo.unary(b, 'floor', x)];
    const [bottom, right] = [hlo.unary(b, 'ceil', y), hlo.unary(b, 'ceil', x)];
    const across = hlo.sub(b, x, left);
    value = mix(
      b,
      mix(b, at(top, left), at(top, right), across),
      mix(b, at(bottom, left), at(bottom, right), across),
      hlo.sub(b, y, top),
    );
  } else value = at(round(b, y), round(b, x));
  const valid = perPixel(b, all(b, inside(b, y, height), inside(b, x, width)), channels);
  const known = perPixel(b, hlo.compare(b, 'LT', index, like(b, index, batch)), channels);
  return hlo.select(
    b,
    known,
    hlo.select(b, valid, value, like(b, value, a.extrapolationValue)),
    like(b, value, 0),
  );
}

type FillMode = 'constant' | 'reflect' | 'wrap' | 'nearest';

/** Toward zero. */
const truncate = (b: Block, v: Value): Value =>
  hlo.select(b, hlo.compare(b, 'LT', v, like(b, v, 0)), hlo.unary(b, 'ceil', v), hlo.unary(b, 'floor', v));

/** Brings coordinates outside [0, size − 1] inside, as TensorFlow's ImageProjectiveTransform does. */
function mapCoordinate(b: Block, v: Value, size: number, mode: FillMode): Value {
  if (mode === 'constant') return v;
  const c = (value: number) => like(b, v, value);
  const limit = (x: Value) => hlo.clamp(b, hlo.scalar(b, 0, 'f32'), x, hlo.scalar(b, size - 1, 'f32'));
  if (mode === 'nearest') return limit(v);
  if (size <= 1) return c(0);
  const below = hlo.compare(b, 'LT', v, c(0));
  const above = hlo.compare(b, 'GT', v, c(size - 1));
  if (mode === 'wrap') {
    const low = hlo.add(
      b,
      v,
      hlo.mul(b, c(size), hlo.add(b, truncate(b, hlo.div(b, hlo.neg(b, v), c(size - 1))), c(1))),
    );
    const high = hlo.sub(b, v, hlo.mul(b, c(size), truncate(b, hlo.div(b, v, c(size - 1)))));
    return limit(hlo.select(b, below, low, hlo.select(b, above, high, v)));
  }
  const period = c(2 * size);
  const lifted = hlo.add(b, hlo.mul(b, period, truncate(b, hlo.div(b, hlo.neg(b, v), period))), v);
  const low = hlo.select(
    b,
    hlo.compare(b, 'LT', lifted, c(-size)),
    hlo.add(b, lifted, period),
    hlo.sub(b, hlo.neg(b, lifted), c(1)),
  );
  const cut = hlo.sub(b, v, hlo.mul(b, period, truncate(b, hlo.div(b, v, period))));
  const high = hlo.select(
    b,
    hlo.compare(b, 'GE', cut, c(size)),
    hlo.sub(b, hlo.sub(b, period, cut), c(1)),
    cut,
  );
  return limit(hlo.select(b, below, low, hlo.select(b, above, high, v)));
}

interface TransformAttrs {
  interpolation: 'nearest' | 'bilinear';
  fillMode: FillMode;
  fillValue: number;
  outputShape?: [number, number];
}

/** Projective transforms, one per picture or one for all. */
function transform(b: Block, image: Value, transforms: Value, a: TransformAttrs): Value {
  const [batch, height, width, channels] = image.shape as [number, number, number, number];
  const [h, w] = a.outputShape ?? [height, width];
  const shape = [batch, h, w];
  const [outY, outX] = [hlo.iota(b, shape, 1, 'f32'), hlo.iota(b, shape, 2, 'f32')];
  const count = transforms.shape[0]!;
  const t = (i: number) => {
    const column = hlo.reshape(b, hlo.slice(b, transforms, [0, i], [count, i + 1]), [count]);
    return hlo.broadcastInDim(b, column, shape, [0]);
  };
  const plane = (i: number, last: Value) =>
    hlo.add(b, hlo.add(b, hlo.mul(b, t(i), outX), hlo.mul(b, t(i + 1), outY)), last);
  const projection = plane(6, like(b, outX, 1));
  const source = castTo(b, image, 'f32');
  const x = mapCoordinate(b, hlo.div(b, plane(0, t(2)), projection), width, a.fillMode);
  const y = mapCoordinate(b, hlo.div(b, plane(3, t(5)), projection), height, a.fillMode);
  const index = hlo.iota(b, shape, 0, 'i32');
  const at = (row: Value, column: Value) => {
    const valid = perPixel(b, all(b, inside(b, row, height), inside(b, column, width)), channels);
    const value = pixels(b, source, { batch: index, y: row, x: column });
    return hlo.select(b, valid, value, like(b, value, a.fillValue));
  };
  let value: Value;
  if (a.interpolation === 'nearest') value = at(round(b, y), round(b, x));
  else {
    const [top, left] = [hlo.unary(b, 'floor', y), hlo.unary(b, 'floor', x)];
    const one = like(b, top, 1);
    const [bottom, right] = [hlo.add(b, top, one), hlo.add(b, left, one)];
    const across = hlo.sub(b, x, left);
    value = mix(
      b,
      mix(b, at(top, left), at(top, right), across),
      mix(b, at(bottom, left), at(bottom, right), across),
      hlo.sub(b, y, top),
    );
  }
  const finite = perPixel(b, hlo.compare(b, 'NE', projection, like(b, projection, 0)), channels);
  return castTo(b, hlo.select(b, finite, value, like(b, value, a.fillValue)), image.dtype);
}

interface RotateAttrs {
  radians: number;
  fillValue: number | [number, number, number];
  center: number | [number, number];
}

/** Opacity of what a colour fills. */
const OPAQUE = 255;

/** Rotation about a point; which cell each comes from is known beforehand, so it is a table. */
function rotate(b: Block, image: Value, a: RotateAttrs): Value {
  const [batch, height, width, channels] = image.shape as [number, number, number, number];
  const [cx, cy] = backend_util.getImageCenter(a.center, height, width);
  const [sin, cos] = [Math.sin(a.radians), Math.cos(a.radians)];
  const shape = [batch, height, width];
  const grid = (axis: number, shift: number) => {
    const i = hlo.iota(b, shape, axis, 'f32');
    return hlo.sub(b, i, like(b, i, shift));
  };
  const [dy, dx] = [grid(1, cy), grid(2, cx)];
  const line = (p: number, q: number, shift: number) => {
    const sum = hlo.add(b, hlo.mul(b, dx, like(b, dx, p)), hlo.mul(b, dy, like(b, dy, q)));
    return round(b, hlo.add(b, sum, like(b, sum, shift)));
  };
  const [x, y] = [line(cos, -sin, cx), line(sin, cos, cy)];
  const value = pixels(b, image, { batch: hlo.iota(b, shape, 0, 'i32'), y, x });
  const fill = Array.from({ length: channels }, (_, i) =>
    typeof a.fillValue === 'number' ? a.fillValue : i === 3 ? OPAQUE : (a.fillValue[i] ?? 0),
  );
  const background = hlo.broadcastInDim(b, hlo.constant(b, fill, [channels], image.dtype), image.shape, [3]);
  const valid = perPixel(b, all(b, inside(b, y, height), inside(b, x, width)), channels);
  return hlo.select(b, valid, value, background);
}

/** Kernels that sample images at computed places. */
export const imageKernels: Lowering[] = [
  kernel('CropAndResize', (b, inputs, attrs) =>
    cropAndResize(b, need(inputs, 'image'), need(inputs, 'boxes'), need(inputs, 'boxInd'), attrsOf(attrs)),
  ),
  kernel('Transform', (b, inputs, attrs) =>
    transform(b, need(inputs, 'image'), need(inputs, 'transforms'), attrsOf(attrs)),
  ),
  kernel('RotateWithOffset', (b, inputs, attrs) => rotate(b, need(inputs, 'image'), attrsOf(attrs))),
];
