/** Reduced-precision storage behind tfjs' dtype 'float32'. */
import * as tf from '@tensorflow/tfjs-core';
import { isXla } from '../active';
import type { XlaBackend } from '../backend';
import { customVjp, isRecording } from '../grad/vjp';
import { attrsOf, kernelInPlace, type Lowering, need } from '../kernels/kernel';
import { DeviceData } from '../runtime/data';
import { float16Value, widenBfloat16 } from '../runtime/host-values';
import { type ElementType, hlo } from '../stablehlo';

/** How the elements of a float32 tensor are held on the device. */
export type FloatStorage = 'float32' | 'bfloat16' | 'float16';

const ELEMENTS: Record<FloatStorage, ElementType> = { float32: 'f32', bfloat16: 'bf16', float16: 'f16' };
const NAMES: Partial<Record<ElementType, FloatStorage>> = {
  f32: 'float32',
  bf16: 'bfloat16',
  f16: 'float16',
};

/**
 * The tensor with its elements held as `storage`. Its tfjs dtype stays 'float32' and it reads back as float32.
 * Arithmetic between two narrow tensors of one storage stays narrow (matrix products accumulate in float32), with a
 * float32 tensor it becomes float32. The gradient arrives in the storage of `x`. On other backends than XLA, which
 * hold float32 only, the values are not rounded.
 *
 * @throws when `x` is not a float32 tensor.
 */
export function cast<T extends tf.Tensor>(x: T, storage: FloatStorage): T {
  checkStorage(storage, 'cast');
  if (x.dtype !== 'float32') throw new Error(`cast: expected a float32 tensor, not ${x.dtype}`);
  if (!isXla()) return tf.clone(x);
  const backend = tf.backend() as XlaBackend;
  const from = backend.find(x.dataId).element;
  const to = ELEMENTS[storage];
  if (from === to) return tf.clone(x);
  const convert = (y: tf.Tensor, element: ElementType): tf.Tensor =>
    tf.engine().runKernel('XlaConvert', { x: y }, { element }) as tf.Tensor;
  if (!isRecording()) return convert(x, to) as T;
  return customVjp(
    [x],
    () => [convert(x, to)],
    ([dy]) => [convert(dy!, from)],
  )[0] as T;
}

/** How the elements of a float32 tensor are held: 'float32' on every backend but XLA. */
export function storageOf(x: tf.Tensor): FloatStorage {
  if (x.dtype !== 'float32') throw new Error(`storageOf: expected a float32 tensor, not ${x.dtype}`);
  if (!isXla()) return 'float32';
  return NAMES[(tf.backend() as XlaBackend).find(x.dataId).element] ?? 'float32';
}

/**
 * A float32 tensor from the row-major little-endian bytes of `storage`, kept as they are on XLA (no float32 copy is
 * made) and widened on other backends. The bytes must not change afterwards.
 *
 * @throws when the number of bytes does not fit the shape.
 */
export function fromBytes(bytes: Uint8Array, shape: readonly number[], storage: FloatStorage): tf.Tensor {
  checkStorage(storage, 'fromBytes');
  const element = ELEMENTS[storage];
  const size = tf.util.sizeFromShape([...shape]) * (element === 'f32' ? 4 : 2);
  if (bytes.byteLength !== size) {
    throw new Error(`fromBytes: ${storage} [${shape}] takes ${size} bytes, there are ${bytes.byteLength}`);
  }
  if (isXla()) {
    const backend = tf.backend() as XlaBackend;
    const data = new DeviceData([...shape], 'float32', element);
    data.bytes = bytes;
    return tf.engine().makeTensorFromTensorInfo({
      dataId: backend.adopt(data),
      shape: [...shape],
      dtype: 'float32',
    });
  }
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const words = () => new Uint16Array(aligned.buffer, aligned.byteOffset, bytes.byteLength / 2);
  switch (element) {
    case 'bf16':
      return tf.tensor(widenBfloat16(words()), [...shape], 'float32');
    case 'f16':
      return tf.tensor(Float32Array.from(words(), float16Value), [...shape], 'float32');
    default:
      return tf.tensor(
        new Float32Array(aligned.buffer, aligned.byteOffset, bytes.byteLength / 4),
        [...shape],
        'float32',
      );
  }
}

/**
 * Sends a tensor's values to the device now, instead of when they are needed first, and lets go of them on the host:
 * what loads many tensors one by one never holds more than one. Resolves when the device has them. Does nothing on
 * other backends, and to strings.
 */
export async function upload(x: tf.Tensor): Promise<void> {
  if (!isXla() || x.dtype === 'string') return;
  const backend = tf.backend() as XlaBackend;
  await backend.upload(backend.readable(x.dataId));
}

/** The row-major bytes of a tensor as it is stored: two bytes an element for bfloat16 and float16. */
export async function toBytes(x: tf.Tensor): Promise<Uint8Array> {
  if (x.dtype === 'string') throw new Error('toBytes: string tensors have no fixed width');
  if (isXla()) {
    const backend = tf.backend() as XlaBackend;
    return backend.raw(backend.readable(x.dataId));
  }
  const values = await x.data();
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function checkStorage(storage: FloatStorage, operation: string): void {
  if (Object.hasOwn(ELEMENTS, storage)) return;
  throw new Error(`${operation}: storage must be 'float32', 'bfloat16' or 'float16', not ${String(storage)}`);
}

export const precisionLowerings: readonly Lowering[] = [
  kernelInPlace('XlaConvert', (b, inputs, attrs) =>
    hlo.convert(b, need(inputs, 'x'), attrsOf<{ element: ElementType }>(attrs).element),
  ),
];
