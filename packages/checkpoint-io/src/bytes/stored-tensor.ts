import { CheckpointError } from '../errors';
import { DTYPE_BYTES, type Dtype, elementCount } from './dtypes';
import { negateBytes } from './negate';
import { type ByteSource, checkRange, readRange } from './source';
import { allocateValues, type Values, widenInto } from './widen';

/** Where a tensor lies in a file. Both formats reduce to this, so that reading is written once. */
export interface StoredTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly source: ByteSource;
  /** Byte offset of the element with all indices 0. */
  readonly offset: number;
  /** Elements between neighbours along each axis; absent when row-major. All non-negative. */
  readonly strides?: readonly number[];
  /** Whether the values are the negatives of what is stored (PyTorch's negative bit). */
  readonly negated?: boolean;
}

/** Bytes widened at a time: small beside any model, large beside the cost of a read. */
const CHUNK_BYTES = 8 * 2 ** 20;

/** An expanded view may not grow beyond this many times its file. */
const MAX_EXPANSION = 2;

/** Number of elements. */
export const count = (tensor: StoredTensor): number => elementCount(tensor.shape) ?? 0;

/** Row-major strides of a shape. */
export function rowMajorStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= shape[axis]!;
  }
  return strides;
}

/** Whether the strides are those of a row-major array, ignoring axes of length 1. */
export function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  const expected = rowMajorStrides(shape);
  return shape.every((length, axis) => length <= 1 || strides[axis] === expected[axis]);
}

/** Bytes from the first to behind the last element a tensor touches. */
export function spanBytes(tensor: Pick<StoredTensor, 'dtype' | 'shape' | 'strides'>): number {
  if (tensor.shape.includes(0)) return 0;
  const strides = tensor.strides ?? rowMajorStrides(tensor.shape);
  let last = 0;
  for (let axis = 0; axis < tensor.shape.length; axis++) last += (tensor.shape[axis]! - 1) * strides[axis]!;
  return (last + 1) * DTYPE_BYTES[tensor.dtype];
}

/** The values, widened and row-major. Contiguous tensors stream through one small buffer. */
export async function readValues(name: string, tensor: StoredTensor): Promise<Values> {
  const { source, dtype, offset } = tensor;
  const elements = checked(name, tensor);
  if (tensor.strides || tensor.negated) {
    const values = allocateValues(dtype, elements);
    widen(name, tensor, await readBytes(name, tensor), values, 0);
    return values;
  }
  const itemSize = DTYPE_BYTES[dtype];
  const values = allocateValues(dtype, elements);
  if (dtype === 'float32' || dtype === 'int32') {
    await source.readInto(new Uint8Array(values.buffer), offset);
    return values;
  }
  const chunk = new Uint8Array(Math.min(CHUNK_BYTES, elements * itemSize));
  for (let at = 0; at < elements; at += CHUNK_BYTES / itemSize) {
    const bytes = chunk.subarray(0, Math.min(chunk.length, (elements - at) * itemSize));
    await source.readInto(bytes, offset + at * itemSize);
    widen(name, tensor, bytes, values, at);
  }
  return values;
}

/** The tensor's bytes in its stored type, row-major, little-endian. */
export async function readBytes(name: string, tensor: StoredTensor): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await readRowMajor(name, tensor);
  if (tensor.negated) negateBytes(tensor.dtype, bytes);
  return bytes;
}

async function readRowMajor(name: string, tensor: StoredTensor): Promise<Uint8Array<ArrayBuffer>> {
  const elements = checked(name, tensor);
  const itemSize = DTYPE_BYTES[tensor.dtype];
  if (!tensor.strides) return readRange(tensor.source, tensor.offset, elements * itemSize);
  const span = await readRange(tensor.source, tensor.offset, spanBytes(tensor));
  const out = new Uint8Array(elements * itemSize);
  gather(typed(span, itemSize), typed(out, itemSize), tensor.shape, tensor.strides);
  return out;
}

/** Number of elements, after the checks that keep a damaged file from asking for memory. */
function checked(name: string, tensor: StoredTensor): number {
  const { source, offset, dtype } = tensor;
  const elements = count(tensor);
  checkRange(source.name, source.size, offset, spanBytes(tensor));
  if (elements * DTYPE_BYTES[dtype] > MAX_EXPANSION * source.size) {
    throw new CheckpointError(
      source.name,
      `tensor ${name} expands to ${elements} elements, more than ${MAX_EXPANSION} times the file`,
      offset,
    );
  }
  return elements;
}

function widen(name: string, tensor: StoredTensor, bytes: Uint8Array, out: Values, at: number): void {
  try {
    widenInto(tensor.dtype, bytes, out, at);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new CheckpointError(tensor.source.name, `tensor ${name}: ${cause.message}`, tensor.offset, {
      cause,
    });
  }
}

type Items = Uint8Array | Uint16Array | Uint32Array | BigUint64Array;

function typed(bytes: Uint8Array<ArrayBuffer>, itemSize: number): Items {
  switch (itemSize) {
    case 1:
      return bytes;
    case 2:
      return new Uint16Array(bytes.buffer, 0, bytes.length / 2);
    case 4:
      return new Uint32Array(bytes.buffer, 0, bytes.length / 4);
    default:
      return new BigUint64Array(bytes.buffer, 0, bytes.length / 8);
  }
}

/** Copies a strided view into row-major order; the innermost axis is a plain loop. */
function gather(from: Items, to: Items, shape: readonly number[], strides: readonly number[]): void {
  if (to.length === 0) return;
  const rank = shape.length;
  if (rank === 0) {
    to[0] = from[0]!;
    return;
  }
  const innerLength = shape[rank - 1]!;
  const innerStride = strides[rank - 1]!;
  const index = new Array<number>(rank).fill(0);
  let start = 0;
  for (let at = 0; at < to.length; ) {
    for (let i = 0; i < innerLength; i++) to[at++] = from[start + i * innerStride]!;
    for (let axis = rank - 2; axis >= 0; axis--) {
      start += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      start -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
}
