/** Between tfjs' host values and the bytes of device memory. */
import type * as tf from '@tensorflow/tfjs-core';
import { bfloat16Bits, float16Bits, numElements } from '../stablehlo';
import type { DeviceData } from './data';

/** The row-major bytes that a device is sent. */
export function bytesOf(data: DeviceData): Uint8Array {
  if (data.bytes) return data.bytes;
  const { host, element } = data;
  const values = host as ArrayLike<number>;
  const fits = data.byteSize;
  if (ArrayBuffer.isView(host) && host.byteLength === fits && matches(host, element)) {
    return new Uint8Array(host.buffer, host.byteOffset, host.byteLength);
  }
  switch (element) {
    case 'f32':
    case 'c64':
      return asBytes(Float32Array.from(values));
    case 'i32':
      return asBytes(Int32Array.from(values));
    case 'i1':
      return Uint8Array.from(values, (x) => (x ? 1 : 0));
    case 'bf16':
      return asBytes(Uint16Array.from(values, bfloat16Bits));
    case 'f16':
      return asBytes(Uint16Array.from(values, float16Bits));
    default:
      throw new Error(`${data.dtype} tensors stay on the host`);
  }
}

function matches(view: ArrayBufferView, element: string): boolean {
  switch (element) {
    case 'f32':
    case 'c64':
      return view instanceof Float32Array;
    case 'i32':
      return view instanceof Int32Array;
    case 'i1':
      return view instanceof Uint8Array;
    default:
      return false;
  }
}

const asBytes = (view: ArrayBufferView): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

/** What tfjs gives its users for the stored bytes. */
export function valuesOf(bytes: Uint8Array, data: DeviceData): tf.BackendValues {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset } = aligned as Uint8Array<ArrayBuffer>;
  const count = numElements(data.shape);
  switch (data.element) {
    case 'f32':
      return new Float32Array(buffer, byteOffset, count);
    case 'c64':
      return new Float32Array(buffer, byteOffset, 2 * count);
    case 'i32':
      return new Int32Array(buffer, byteOffset, count);
    case 'bf16':
      return widenBfloat16(new Uint16Array(buffer, byteOffset, count));
    case 'f16':
      return Float32Array.from(new Uint16Array(buffer, byteOffset, count), float16Value);
    default:
      return aligned;
  }
}

/** bfloat16 is the upper half of a float32. */
export function widenBfloat16(bits: Uint16Array): Float32Array {
  const wide = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) wide[i] = bits[i]! << 16;
  return new Float32Array(wide.buffer);
}

/** The value of an IEEE half. */
export function float16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
