/** Element types as StableHLO spells them. */
export type ElementType =
  | 'i1'
  | 'i8'
  | 'i16'
  | 'i32'
  | 'i64'
  | 'ui8'
  | 'ui16'
  | 'ui32'
  | 'ui64'
  | 'f16'
  | 'bf16'
  | 'f32'
  | 'f64'
  | 'c64'
  | 'c128';

export type Shape = readonly number[];

/** Shape and element type of an array. */
export interface TensorType {
  readonly shape: Shape;
  readonly dtype: ElementType;
}

/** A result or an argument inside a module: an SSA name with its type. */
export interface Value extends TensorType {
  readonly id: string;
}

const BYTES: Record<ElementType, number> = {
  i1: 1,
  i8: 1,
  i16: 2,
  i32: 4,
  i64: 8,
  ui8: 1,
  ui16: 2,
  ui32: 4,
  ui64: 8,
  f16: 2,
  bf16: 2,
  f32: 4,
  f64: 8,
  c64: 8,
  c128: 16,
};

/** Bytes of one element in memory. */
export const byteSize = (dtype: ElementType): number => BYTES[dtype];

export const isFloat = (dtype: ElementType): boolean => dtype[0] === 'f' || dtype === 'bf16';
export const isComplex = (dtype: ElementType): boolean => dtype[0] === 'c';
export const isUnsigned = (dtype: ElementType): boolean => dtype.startsWith('ui');
export const isInteger = (dtype: ElementType): boolean =>
  dtype !== 'i1' && (dtype[0] === 'i' || isUnsigned(dtype));

export const numElements = (shape: Shape): number => shape.reduce((n, d) => n * d, 1);

export const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((d, i) => d === b[i]);

const complexName = (dtype: ElementType): string =>
  dtype === 'c64' ? 'complex<f32>' : dtype === 'c128' ? 'complex<f64>' : dtype;

/** `tensor<2x3xf32>`. */
export const typeText = ({ shape, dtype }: TensorType): string =>
  `tensor<${shape.map((d) => `${d}x`).join('')}${complexName(dtype)}>`;
