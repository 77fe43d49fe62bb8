import type * as tf from '@tensorflow/tfjs-core';
import { DTYPE_BYTES, type Dtype, elementCount, floatToBfloat16, floatToFloat16 } from '../bytes';
import { safetensorsName } from './dtype-names';

/** Bytes to be stored as they are: row-major, little-endian. */
export interface RawTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** What can be saved. */
export type Savable = tf.Tensor | RawTensor;

/** The stored type of float32 tensors. */
export type FloatDtype = 'float32' | 'float16' | 'bfloat16';

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
  const planned = Object.entries(params).map(([name, value]): Planned => {
    if (name === '__metadata__')
      throw new TypeError('a tensor cannot be named __metadata__: the format reserves it');
    const shape = value.shape;
    const dtype = isRaw(value) ? value.dtype : storedDtype(name, value, floats);
    const byteLength = elementCount(shape)! * DTYPE_BYTES[dtype];
    if (isRaw(value) && value.bytes.byteLength !== byteLength) {
      throw new TypeError(
        `${name}: ${dtype} [${shape}] needs ${byteLength} bytes, got ${value.bytes.byteLength}`,
      );
    }
    return { name, dtype, shape, byteLength, value };
  });
  // Wide types first keeps every tensor aligned, as the reference writer does.
  return planned.sort(
    (a, b) => DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype] || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  );
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

/** Length prefix and JSON header of a file that holds `tensors` in this order. */
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
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, 8);
  return header;
}

/** The bytes of one planned tensor; float32 values are rounded here when a narrower type was asked for. */
export async function tensorBytes({ value, dtype }: Planned): Promise<Uint8Array> {
  if (isRaw(value)) return value.bytes;
  const data = await value.data();
  const stored =
    dtype === 'bfloat16'
      ? floatToBfloat16(data as Float32Array)
      : dtype === 'float16'
        ? floatToFloat16(data as Float32Array)
        : data;
  return new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
}
