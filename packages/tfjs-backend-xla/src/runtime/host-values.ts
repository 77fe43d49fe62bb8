/** Between tfjs' host values and the bytes of device memory. */
import { float16Value, widenBfloat16 } from '@flow-grpo/tfjs-jit/backend';
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
