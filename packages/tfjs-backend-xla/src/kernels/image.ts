import { backend_util } from '@tensorflow/tfjs-core';
import type { Builder, Value } from '../stablehlo';
import { attrsOf, kernel, type Lowering, need } from './kernel';
import { castTo, like } from './values';

/** Coordinates [n, h, w], f32, in cells of the image. */
interface Points {
  readonly batch: Value;
  readonly y: Value;
  readonly x: Value;
}

const all = (b: Builder, ...conditions: Value[]): Value => conditions.reduce((p, q) => b.and(p, q));

/** Math.round: halves go up. */
const round = (b: Builder, v: Value): Value => b.unary('floor', b.add(v, like(b, v, 0.5)));

const inside = (b: Builder, v: Value, size: number): Value =>
  b.and(b.compare('GE', v, like(b, v, 0)), b.compare('LE', v, like(b, v, size - 1)));

/** Spreads [n, h, w] over the channels of an image. */
const perPixel = (b: Builder, v: Value, channels: number): Value =>
  b.broadcastInDim(v, [...v.shape, channels], [0, 1, 2]);

/** The pixels at whole coordinates, [n, h, w, c]; those outside are moved to the border. */
function pixels(b: Builder, image: Value, p: Points): Value {
  const column = (v: Value) => b.reshape(castTo(b, v, 'i32'), [...v.shape, 1]);
  const indices = b.concatenate([column(p.batch), column(p.y), column(p.x)], 3);
  return b.gather(image, indices, {
    offset: [3],
    collapsed: [0, 1, 2],
    indexMap: [0, 1, 2],
    indexVectorAxis: 3,
    sliceSizes: [1, 1, 1, image.shape[3]!],
  });
}

function mix(b: Builder, from: Value, to: Value, weight: Value): Value {
  return b.add(from, b.mul(b.sub(to, from), perPixel(b, weight, from.shape[3]!)));
}

interface CropAttrs {
  cropSize: [number, number];
  method: 'bilinear' | 'nearest';
  extrapolationValue: number;
}

/** Places of a crop's cells along one axis of the image, [boxes, cells]. */
function cropAxis(b: Builder, boxes: Value, axis: 0 | 1, cells: number, size: number): Value {
  const n = boxes.shape[0]!;
  const column = (i: number) =>
    b.broadcastInDim(b.reshape(b.slice(boxes, [0, i], [n, i + 1]), [n]), [n, cells], [0]);
  const [start, end] = [column(axis), column(axis + 2)];
  const last = like(b, start, size - 1);
  if (cells === 1) return b.mul(b.mul(b.add(start, end), like(b, start, 0.5)), last);
  const step = b.div(b.mul(b.sub(end, start), last), like(b, start, cells - 1));
  return b.add(b.mul(start, last), b.mul(b.iota([n, cells], 1, 'f32'), step));
}

function cropAndResize(b: Builder, image: Value, boxes: Value, boxIndex: Value, a: CropAttrs): Value {
  const [batch, height, width, channels] = image.shape as [number, number, number, number];
  const [h, w] = a.cropSize;
  const shape = [boxes.shape[0]!, h, w];
  const source = castTo(b, image, 'f32');
  const y = b.broadcastInDim(cropAxis(b, boxes, 0, h, height), shape, [0, 1]);
  const x = b.broadcastInDim(cropAxis(b, boxes, 1, w, width), shape, [0, 2]);
  const index = b.broadcastInDim(castTo(b, boxIndex, 'i32'), shape, [0]);
  const at = (row: Value, column: Value) => pixels(b, source, { batch: index, y: row, x: column });
  let value: Value;
  if (a.method === 'bilinear') {
    const [top, left] = [b.unary('floor', y), b.unary('floor', x)];
    const [bottom, right] = [b.unary('ceil', y), b.unary('ceil', x)];
    const across = b.sub(x, left);
    value = mix(
      b,
      mix(b, at(top, left), at(top, right), across),
      mix(b, at(bottom, left), at(bottom, right), across),
      b.sub(y, top),
    );
  } else value = at(round(b, y), round(b, x));
  const valid = perPixel(b, all(b, inside(b, y, height), inside(b, x, width)), channels);
  const known = perPixel(b, b.compare('LT', index, like(b, index, batch)), channels);
  return b.select(known, b.select(valid, value, like(b, value, a.extrapolationValue)), like(b, value, 0));
}

type FillMode = 'constant' | 'reflect' | 'wrap' | 'nearest';

/** Toward zero. */
const truncate = (b: Builder, v: Value): Value =>
  b.select(b.compare('LT', v, like(b, v, 0)), b.unary('ceil', v), b.unary('floor', v));

/** Brings coordinates outside [0, size − 1] inside, as TensorFlow's ImageProjectiveTransform does. */
function mapCoordinate(b: Builder, v: Value, size: number, mode: FillMode): Value {
  if (mode === 'constant') return v;
  const c = (value: number) => like(b, v, value);
  const limit = (x: Value) => b.clamp(b.scalar(0, 'f32'), x, b.scalar(size - 1, 'f32'));
  if (mode === 'nearest') return limit(v);
  if (size <= 1) return c(0);
  const below = b.compare('LT', v, c(0));
  const above = b.compare('GT', v, c(size - 1));
  if (mode === 'wrap') {
    const low = b.add(v, b.mul(c(size), b.add(truncate(b, b.div(b.neg(v), c(size - 1))), c(1))));
    const high = b.sub(v, b.mul(c(size), truncate(b, b.div(v, c(size - 1)))));
    return limit(b.select(below, low, b.select(above, high, v)));
  }
  const period = c(2 * size);
  const lifted = b.add(b.mul(period, truncate(b, b.div(b.neg(v), period))), v);
  const low = b.select(b.compare('LT', lifted, c(-size)), b.add(lifted, period), b.sub(b.neg(lifted), c(1)));
  const cut = b.sub(v, b.mul(period, truncate(b, b.div(v, period))));
  const high = b.select(b.compare('GE', cut, c(size)), b.sub(b.sub(period, cut), c(1)), cut);
  return limit(b.select(below, low, b.select(above, high, v)));
}

interface TransformAttrs {
  interpolation: 'nearest' | 'bilinear';
  fillMode: FillMode;
  fillValue: number;
  outputShape?: [number, number];
}

/** Projective transforms, one a picture or one for all. */
function transform(b: Builder, image: Value, transforms: Value, a: TransformAttrs): Value {
  const [batch, height, width, channels] = image.shape as [number, number, number, number];
  const [h, w] = a.outputShape ?? [height, width];
  const shape = [batch, h, w];
  const [outY, outX] = [b.iota(shape, 1, 'f32'), b.iota(shape, 2, 'f32')];
  const count = transforms.shape[0]!;
  const t = (i: number) => {
    const column = b.reshape(b.slice(transforms, [0, i], [count, i + 1]), [count]);
    return b.broadcastInDim(column, shape, [0]);
  };
  const plane = (i: number, last: Value) => b.add(b.add(b.mul(t(i), outX), b.mul(t(i + 1), outY)), last);
  const projection = plane(6, like(b, outX, 1));
  const source = castTo(b, image, 'f32');
  const x = mapCoordinate(b, b.div(plane(0, t(2)), projection), width, a.fillMode);
  const y = mapCoordinate(b, b.div(plane(3, t(5)), projection), height, a.fillMode);
  const index = b.iota(shape, 0, 'i32');
  const at = (row: Value, column: Value) => {
    const valid = perPixel(b, all(b, inside(b, row, height), inside(b, column, width)), channels);
    const value = pixels(b, source, { batch: index, y: row, x: column });
    return b.select(valid, value, like(b, value, a.fillValue));
  };
  let value: Value;
  if (a.interpolation === 'nearest') value = at(round(b, y), round(b, x));
  else {
    const [top, left] = [b.unary('floor', y), b.unary('floor', x)];
    const one = like(b, top, 1);
    const [bottom, right] = [b.add(top, one), b.add(left, one)];
    const across = b.sub(x, left);
    value = mix(
      b,
      mix(b, at(top, left), at(top, right), across),
      mix(b, at(bottom, left), at(bottom, right), across),
      b.sub(y, top),
    );
  }
  const finite = perPixel(b, b.compare('NE', projection, like(b, projection, 0)), channels);
  return castTo(b, b.select(finite, value, like(b, value, a.fillValue)), image.dtype);
}

interface RotateAttrs {
  radians: number;
  fillValue: number | [number, number, number];
  center: number | [number, number];
}

/** Opacity of what a colour fills. */
const OPAQUE = 255;

/** Rotation about a point; which cell each comes from is known beforehand, so it is a table. */
function rotate(b: Builder, image: Value, a: RotateAttrs): Value {
  const [batch, height, width, channels] = image.shape as [number, number, number, number];
  const [cx, cy] = backend_util.getImageCenter(a.center, height, width);
  const [sin, cos] = [Math.sin(a.radians), Math.cos(a.radians)];
  const shape = [batch, height, width];
  const grid = (axis: number, shift: number) => {
    const i = b.iota(shape, axis, 'f32');
    return b.sub(i, like(b, i, shift));
  };
  const [dy, dx] = [grid(1, cy), grid(2, cx)];
  const line = (p: number, q: number, shift: number) => {
    const sum = b.add(b.mul(dx, like(b, dx, p)), b.mul(dy, like(b, dy, q)));
    return round(b, b.add(sum, like(b, sum, shift)));
  };
  const [x, y] = [line(cos, -sin, cx), line(sin, cos, cy)];
  const value = pixels(b, image, { batch: b.iota(shape, 0, 'i32'), y, x });
  const fill = Array.from({ length: channels }, (_, i) =>
    typeof a.fillValue === 'number' ? a.fillValue : i === 3 ? OPAQUE : (a.fillValue[i] ?? 0),
  );
  const background = b.broadcastInDim(b.constant(fill, [channels], image.dtype), image.shape, [3]);
  const valid = perPixel(b, all(b, inside(b, y, height), inside(b, x, width)), channels);
  return b.select(valid, value, background);
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
