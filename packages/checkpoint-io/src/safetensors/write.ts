import type * as tf from '@tensorflow/tfjs-core';
import {
  type ByteSource,
  DTYPE_BYTES,
  type Dtype,
  elementCount,
  floatToBfloat16,
  floatToFloat16,
} from '../bytes';
import { CheckpointError } from '../errors';
import { safetensorsName } from './dtype-names';
import { MAX_HEADER_BYTES, readSafetensors } from './read';

/** Bytes to be stored as they are: row-major, little-endian. */
export interface RawTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** What can be saved. */
export type Savable = tf.Tensor | RawTensor;

/** The stored type of float32 tensors. */
export type FloatDtype = (typeof FLOAT_DTYPES)[number];

const FLOAT_DTYPES = ['float32', 'float16', 'bfloat16'] as const;

export interface Planned {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly byteLength: number;
  readonly value: Savable;
}

const isRaw = (value: Savable): value is RawTensor => 'bytes' in value && value.bytes instanceof Uint8Array;

/** Type, shape and size of each tensor, in the order they are written. Throws a TypeError for what cannot be stored. */
export function planTensors(params: Readonly<Record<string, Savable>>, floats: FloatDtype): Planned[] {
  if (!FLOAT_DTYPES.includes(floats)) {
    throw new TypeError(`dtype is ${String(floats)}, not one of ${FLOAT_DTYPES.join(', ')}`);
  }
  const planned = Object.entries(params).map(([name, value]): Planned => {
    if (name === '__metadata__')
      throw new TypeError('a tensor cannot be named __metadata__: the format reserves it');
    checkText('a tensor is named', name);
    if (typeof value !== 'object' || value === null || !Array.isArray(value.shape)) {
      throw new TypeError(`${name}: neither a tensor nor { dtype, shape, bytes }`);
    }
    const shape = value.shape;
    const dtype = isRaw(value) ? value.dtype : storedDtype(name, value, floats);
    if (!Object.hasOwn(DTYPE_BYTES, dtype)) {
      throw new TypeError(`${name}: ${String(dtype)} is not one of ${Object.keys(DTYPE_BYTES).join(', ')}`);
    }
    const elements = elementCount(shape);
    if (elements === undefined) throw new TypeError(`${name}: [${shape}] is not a shape`);
    const byteLength = elements * DTYPE_BYTES[dtype];
    if (isRaw(value)) checkBytes(name, dtype, shape, byteLength, value.bytes);
    return { name, dtype, shape, byteLength, value };
  });
  // Wide types first keeps every tensor aligned, as the reference writer does.
  return planned.sort(
    (a, b) => DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype] || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  );
}

function checkBytes(
  name: string,
  dtype: Dtype,
  shape: readonly number[],
  byteLength: number,
  bytes: Uint8Array,
): void {
  if (bytes.byteLength === byteLength) return;
  throw new TypeError(`${name}: ${dtype} [${shape}] needs ${byteLength} bytes, got ${bytes.byteLength}`);
}

/** Half a surrogate pair has no UTF-8: it would be stored as another character. */
function checkText(what: string, text: string): void {
  if (/\p{Surrogate}/u.test(text))
    throw new TypeError(`${what} ${JSON.stringify(text)}, which is not Unicode`);
}

/** Throws a TypeError unless the format can hold the metadata: strings by name. */
export function checkMetadata(metadata: Readonly<Record<string, string>>): void {
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
    throw new TypeError('metadata must be an object of strings');
  }
  for (const [key, value] of Object.entries(metadata)) {
    checkText('a metadata entry is named', key);
    if (typeof value !== 'string') {
      const given = value === null ? 'null' : typeof value;
      throw new TypeError(`metadata.${key} must be a string, not ${given}; use String or JSON.stringify`);
    }
    checkText(`metadata.${key} is`, value);
  }
}

function storedDtype(name: string, tensor: tf.Tensor, floats: FloatDtype): Dtype {
  switch (tensor.dtype) {
    case 'float32':
      return floats;
    case 'int32':
    case 'bool':
      return tensor.dtype;
    default:
      throw new TypeError(`${name}: a ${tensor.dtype} tensor cannot be stored in safetensors`);
  }
}

/**
 * Length prefix and JSON header of a file that holds `tensors` in this order. Throws a TypeError for a header beyond the
 * format's limit.
 */
export function encodeHeader(
  tensors: readonly Planned[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const entries: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) entries.push(['__metadata__', metadata]);
  let offset = 0;
  for (const { name, dtype, shape, byteLength } of tensors) {
    entries.push([
      name,
      { dtype: safetensorsName(dtype), shape, data_offsets: [offset, offset + byteLength] },
    ]);
    offset += byteLength;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const padded = Math.ceil(json.length / 8) * 8;
  if (padded > MAX_HEADER_BYTES) {
    throw new TypeError(
      `names, shapes and metadata take ${padded} bytes, the format allows ${MAX_HEADER_BYTES}; write several files`,
    );
  }
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, 8);
  return header;
}

/**
 * The bytes of one planned tensor; float32 values are rounded here when a narrower type was asked for. Throws a TypeError
 * when the backend gives another number of values than the tensor's shape says.
 */
export async function tensorBytes({ name, value, dtype, shape, byteLength }: Planned): Promise<Uint8Array> {
  if (isRaw(value)) return value.bytes;
  const data = await value.data();
  const stored =
    dtype === 'bfloat16'
      ? floatToBfloat16(data as Float32Array)
      : dtype === 'float16'
        ? floatToFloat16(data as Float32Array)
        : data;
  const bytes = new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
  checkBytes(name, dtype, shape, byteLength, bytes);
  return bytes;
}

/**
 * Reads a written file's header back. Throws a {@link CheckpointError} unless it is readable and says what was planned.
 */
export async function verifySafetensors(
  source: ByteSource,
  planned: readonly Planned[],
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const found = await readSafetensors(source);
  const describe = (entries: Iterable<readonly [string, string, readonly number[]]>) =>
    JSON.stringify([...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  const wanted = describe(planned.map(({ name, dtype, shape }) => [name, dtype, shape] as const));
  const read = describe([...found.tensors].map(([name, { dtype, shape }]) => [name, dtype, shape] as const));
  const isSame =
    wanted === read &&
    Object.keys(metadata).length === Object.keys(found.metadata).length &&
    Object.entries(metadata).every(([key, value]) => found.metadata[key] === value);
  if (!isSame) throw new CheckpointError(source.name, 'reads back otherwise than it was written');
}
