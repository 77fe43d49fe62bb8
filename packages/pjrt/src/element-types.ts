/** Element types by their StableHLO names: PJRT_Buffer_Type, xla.PrimitiveType, and bytes of an element on the host. */
const TABLE = {
  i1: { buffer: 1, primitive: 1, bytes: 1 },
  i8: { buffer: 2, primitive: 2, bytes: 1 },
  i16: { buffer: 3, primitive: 3, bytes: 2 },
  i32: { buffer: 4, primitive: 4, bytes: 4 },
  i64: { buffer: 5, primitive: 5, bytes: 8 },
  ui8: { buffer: 6, primitive: 6, bytes: 1 },
  ui16: { buffer: 7, primitive: 7, bytes: 2 },
  ui32: { buffer: 8, primitive: 8, bytes: 4 },
  ui64: { buffer: 9, primitive: 9, bytes: 8 },
  f16: { buffer: 10, primitive: 10, bytes: 2 },
  f32: { buffer: 11, primitive: 11, bytes: 4 },
  f64: { buffer: 12, primitive: 12, bytes: 8 },
  bf16: { buffer: 13, primitive: 16, bytes: 2 },
  c64: { buffer: 14, primitive: 15, bytes: 8 },
  c128: { buffer: 15, primitive: 18, bytes: 16 },
  f8E5M2: { buffer: 16, primitive: 19, bytes: 1 },
  f8E4M3FN: { buffer: 17, primitive: 20, bytes: 1 },
} as const;

/** `i1` is a boolean of one byte; `c64` is two f32. */
export type ElementType = keyof typeof TABLE;

export const ELEMENT_TYPES = Object.keys(TABLE) as ElementType[];

/** Bytes that one element takes on the host. */
export const elementBytes = (type: ElementType): number => TABLE[type].bytes;

export const bufferTypeCode = (type: ElementType): number => TABLE[type].buffer;

const byBufferCode = new Map<number, ElementType>(ELEMENT_TYPES.map((type) => [TABLE[type].buffer, type]));
const byPrimitiveCode = new Map<number, ElementType>(
  ELEMENT_TYPES.map((type) => [TABLE[type].primitive, type]),
);

/** The type of a PJRT_Buffer_Type value; undefined for types without a whole number of bytes (i4) and tokens. */
export const fromBufferType = (code: number): ElementType | undefined => byBufferCode.get(code);

/** The type of an xla.PrimitiveType value, likewise. */
export const fromPrimitiveType = (code: number): ElementType | undefined => byPrimitiveCode.get(code);

export const isElementType = (name: string): name is ElementType => Object.hasOwn(TABLE, name);

/** Element type and extents of one array: a parameter, a result or a buffer. */
export interface ArrayShape {
  readonly elementType: ElementType;
  readonly dims: readonly number[];
}

export const elementCount = (dims: readonly number[]): number => {
  let count = 1;
  for (const extent of dims) count *= extent;
  return count;
};

/** `f32[2,3]`, XLA's own notation. */
export const formatShape = (shape: ArrayShape): string => `${shape.elementType}[${shape.dims.join(',')}]`;
