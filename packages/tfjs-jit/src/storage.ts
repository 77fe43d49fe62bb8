/** Reduced-precision storage behind tfjs' dtype 'float32'. */
import * as tf from '@tensorflow/tfjs-core';
import { activeCompiler, type FloatStorage } from './compiler';
import { float16Value, widenBfloat16 } from './half-floats';
import { CONVERT, hasKernel, runKernel } from './kernels';
import { customVjp, isRecording } from './vjp';

/** Bytes per element. */
const WIDTHS: Readonly<Record<FloatStorage, number>> = { float32: 4, bfloat16: 2, float16: 2 };

/**
 * The tensor with its elements stored as `storage`. Its tfjs dtype stays 'float32' and it reads back as float32.
 * Arithmetic between two narrow tensors of one storage stays narrow (matrix products accumulate in float32), with a
 * float32 tensor it becomes float32. The gradient arrives in the storage of `x`. Backends without a compiler store float32
 * only; there the values are not rounded.
 *
 * @throws when `x` is not a float32 tensor.
 */
export function cast<T extends tf.Tensor>(x: T, storage: FloatStorage): T {
  checkStorage(storage, 'cast');
  if (x.dtype !== 'float32') throw new Error(`cast: expected a float32 tensor, not ${x.dtype}`);
  const from = storageOf(x);
  if (from === storage || !hasKernel(CONVERT)) return tf.clone(x);
  const convert = (y: tf.Tensor, to: FloatStorage) => runKernel(CONVERT, { x: y }, { storage: to });
  if (!isRecording()) return convert(x, storage) as T;
  return customVjp(
    [x],
    () => [convert(x, storage)],
    ([dy]) => [convert(dy!, from)],
  )[0] as T;
}

/** How the elements of a float32 tensor are stored: 'float32' where there is no compiler. */
export function storageOf(x: tf.Tensor): FloatStorage {
  if (x.dtype !== 'float32') throw new Error(`storageOf: expected a float32 tensor, not ${x.dtype}`);
  return activeCompiler()?.storageOf(x) ?? 'float32';
}

/**
 * A float32 tensor from the row-major little-endian bytes of `storage`: kept as they are with a compiler (no float32 copy
 * is made), widened elsewhere. The bytes must not change afterwards.
 *
 * @throws when the number of bytes does not fit the shape.
 */
export function fromBytes(bytes: Uint8Array, shape: readonly number[], storage: FloatStorage): tf.Tensor {
  checkStorage(storage, 'fromBytes');
  const size = tf.util.sizeFromShape([...shape]) * WIDTHS[storage];
  if (bytes.byteLength !== size) {
    throw new Error(`fromBytes: ${storage} [${shape}] takes ${size} bytes, there are ${bytes.byteLength}`);
  }
  const compiler = activeCompiler();
  if (compiler) return compiler.fromBytes(bytes, shape, storage);
  return tf.tensor(floatsOf(bytes, storage), [...shape], 'float32');
}

function floatsOf(bytes: Uint8Array, storage: FloatStorage): Float32Array {
  const { buffer, byteOffset } = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const count = bytes.byteLength / WIDTHS[storage];
  if (storage === 'float32') return new Float32Array(buffer, byteOffset, count);
  const words = new Uint16Array(buffer, byteOffset, count);
  return storage === 'bfloat16' ? widenBfloat16(words) : Float32Array.from(words, float16Value);
}

/**
 * Sends a tensor's values to the device now, instead of when they are needed first, and lets go of them on the host:
 * what loads many tensors one by one never holds more than one. Resolves when the device has them. Does nothing where
 * there is no compiler, and to strings.
 */
export async function upload(x: tf.Tensor): Promise<void> {
  if (x.dtype !== 'string') await activeCompiler()?.upload(x);
}

/** The row-major bytes of a tensor as it is stored: two bytes per element for bfloat16 and float16. */
export async function toBytes(x: tf.Tensor): Promise<Uint8Array> {
  if (x.dtype === 'string') throw new Error('toBytes: string tensors have no fixed width');
  const compiler = activeCompiler();
  if (compiler) return compiler.toBytes(x);
  const values = await x.data();
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function checkStorage(storage: FloatStorage, operation: string): void {
  if (Object.hasOwn(WIDTHS, storage)) return;
  throw new Error(`${operation}: storage must be 'float32', 'bfloat16' or 'float16', not ${String(storage)}`);
}
