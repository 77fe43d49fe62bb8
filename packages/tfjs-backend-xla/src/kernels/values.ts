import {
  type Block,
  describe,
  type ElementType,
  hlo,
  isFloat,
  type Shape,
  sameShape,
  type Value,
} from '../stablehlo';

/** The type that a tfjs dtype is computed in when nothing else is known. */
export function elementTypeOf(dtype: string): ElementType {
  switch (dtype) {
    case 'float32':
      return 'f32';
    case 'int32':
      return 'i32';
    case 'bool':
      return 'i1';
    case 'complex64':
      return 'c64';
    default:
      throw new Error(`dtype ${dtype} is not held on the device`);
  }
}

const RANK: Partial<Record<ElementType, number>> = { i1: 0, i32: 1, f16: 2, bf16: 2, f32: 3, c64: 4 };

/** The type that mixed operands meet in: two different narrow floats meet in f32. */
export function promote(a: ElementType, b: ElementType): ElementType {
  if (a === b) return a;
  const [ra, rb] = [RANK[a], RANK[b]];
  if (ra === undefined || rb === undefined) throw new Error(`${a} and ${b} do not mix`);
  return ra === rb ? 'f32' : ra > rb ? a : b;
}

/** Whether a type is a float of 16 bits. */
export const isNarrow = (dtype: ElementType): boolean => dtype === 'bf16' || dtype === 'f16';

export function broadcastShape(a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1)
      throw new Error(`shapes [${a.join(',')}] and [${b.join(',')}] do not broadcast together`);
    return x === 1 ? y : x;
  });
}

/** Both operands in one type and one shape. */
export function matched(b: Block, x: Value, y: Value): [Value, Value] {
  const dtype = promote(x.dtype, y.dtype);
  const shape = broadcastShape(x.shape, y.shape);
  return [
    hlo.broadcastTo(b, hlo.convert(b, x, dtype), shape),
    hlo.broadcastTo(b, hlo.convert(b, y, dtype), shape),
  ];
}

/** A constant with the shape and type of x. */
export const like = (b: Block, x: Value, value: number): Value => hlo.full(b, x.shape, value, x.dtype);

/** Where a float is NaN. */
export const whereNaN = (b: Block, x: Value): Value => hlo.compare(b, 'NE', x, x);

/** Where x beats y as the larger (`GT`) or smaller (`LT`) of two floats; every number beats NaN. */
export function beats(b: Block, x: Value, y: Value, direction: 'GT' | 'LT'): Value {
  const onlyY = hlo.and(b, whereNaN(b, y), hlo.not(b, whereNaN(b, x)));
  return hlo.or(b, hlo.compare(b, direction, x, y), onlyY);
}

/** Runs `body` in f32 where x is a narrower float, and gives the result x's type. */
export function inFloat32(b: Block, x: Value, body: (x: Value) => Value): Value {
  if (!isNarrow(x.dtype)) return body(x);
  const y = body(hlo.convert(b, x, 'f32'));
  return y.dtype === 'f32' ? hlo.convert(b, y, x.dtype) : y;
}

/** x as a float: integers and booleans become f32. */
export const floating = (b: Block, x: Value): Value =>
  isFloat(x.dtype) || x.dtype === 'c64' ? x : hlo.convert(b, x, 'f32');

/** As tfjs counts axes: one number or several, negative from the end, sorted, none meaning all. */
export function axesOf(axis: number | readonly number[] | null | undefined, rank: number): number[] {
  if (axis === undefined || axis === null) return Array.from({ length: rank }, (_, i) => i);
  const list = typeof axis === 'number' ? [axis] : axis;
  return list
    .map((a) => {
      if (!Number.isInteger(a) || a < -rank || a >= rank)
        throw new Error(`axis ${a} is outside rank ${rank}`);
      return a < 0 ? a + rank : a;
    })
    .sort((p, q) => p - q);
}

/** The shape with these axes kept as 1. */
export const keptShape = (shape: Shape, axes: readonly number[]): number[] =>
  shape.map((d, i) => (axes.includes(i) ? 1 : d));

/** Broadcasts a reduced x back over the axes that a reduction of `shape` removed. */
export function spread(b: Block, x: Value, shape: Shape, axes: readonly number[]): Value {
  const kept = shape.map((_, i) => i).filter((i) => !axes.includes(i));
  return hlo.broadcastInDim(b, x, shape, kept);
}

/** Converts numbers as JavaScript's typed arrays do: to int32 by truncation, to bool by being non-zero. */
export function castTo(b: Block, x: Value, dtype: ElementType): Value {
  if (x.dtype === dtype) return x;
  if (x.dtype === 'c64') return castTo(b, hlo.real(b, x), dtype);
  if (dtype === 'i1') return hlo.compare(b, 'NE', x, like(b, x, 0));
  if (dtype === 'c64') {
    const real = hlo.convert(b, x, 'f32');
    return hlo.complex(b, real, like(b, real, 0));
  }
  return hlo.convert(b, x, dtype);
}

export function expectShape(x: Value, shape: Shape, what: string): void {
  if (!sameShape(x.shape, shape))
    throw new Error(`${what}: expected [${shape.join(',')}], got ${describe(x)}`);
}
