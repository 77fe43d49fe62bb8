/** Random numbers that are a function of a key and a position: the same on every backend and device. */
import * as tf from '@tensorflow/tfjs-core';
import { hasKernel, RANDOM_FOLD_IN, RANDOM_NORMAL, RANDOM_UNIFORM, runKernel } from '../kernels';
import { type Key, normalFromBits, randomBits, threefry2x32, uniformFromBits } from './threefry';

/**
 * A key from an integer seed (its low 64 bits, two's complement).
 *
 * @returns int32 [2].
 */
export function key(seed: number): tf.Tensor1D {
  if (!Number.isSafeInteger(seed)) throw new Error(`random.key: the seed must be an integer, not ${seed}`);
  const high = Math.floor(seed / 2 ** 32);
  return keyTensor([high | 0, seed | 0]);
}

/** `n` independent keys from one; the one should not be used again. */
export function split(key: tf.Tensor, n = 2): tf.Tensor1D[] {
  if (!Number.isInteger(n) || n < 1) throw new Error(`random.split: n must be a positive integer, not ${n}`);
  if (hasKernel(RANDOM_FOLD_IN)) return Array.from({ length: n }, (_, i) => foldIn(key, i));
  const words = readKey(key, 'split');
  return Array.from({ length: n }, (_, i) => keyTensor(threefry2x32(words, 0, i)));
}

/** A key that depends on `key` and an integer, such as a step, a rank or an index. */
export function foldIn(key: tf.Tensor, data: number | tf.Tensor): tf.Tensor1D {
  if (hasKernel(RANDOM_FOLD_IN)) {
    checkKey(key, 'foldIn');
    return tf.tidy(() => {
      const index =
        typeof data === 'number' ? tf.scalar(checkedInteger(data) | 0, 'int32') : checkedData(data);
      return runKernel(RANDOM_FOLD_IN, { key, data: index }) as tf.Tensor1D;
    });
  }
  const value = typeof data === 'number' ? data : checkedData(data).dataSync()[0]!;
  return keyTensor(threefry2x32(readKey(key, 'foldIn'), 0, checkedInteger(value) | 0));
}

/**
 * Standard normal float32 numbers. Element i (row-major) depends on the key and i only, so the first rows of
 * a larger batch equal a smaller batch.
 */
export function normal(key: tf.Tensor, shape: readonly number[]): tf.Tensor {
  const size = checkedSize(shape);
  if (hasKernel(RANDOM_NORMAL)) return onDevice(RANDOM_NORMAL, key, shape, 'normal');
  const bits = randomBits(readKey(key, 'normal'), size);
  return tf.tensor(normalFromBits(bits), [...shape], 'float32');
}

/** Uniform float32 numbers in [0, 1), multiples of 2⁻²³; the same position rule as `normal`. */
export function uniform(key: tf.Tensor, shape: readonly number[]): tf.Tensor {
  const size = checkedSize(shape);
  if (hasKernel(RANDOM_UNIFORM)) return onDevice(RANDOM_UNIFORM, key, shape, 'uniform');
  const bits = randomBits(readKey(key, 'uniform'), size);
  return tf.tensor(uniformFromBits(bits), [...shape], 'float32');
}

const keyTensor = (words: Key): tf.Tensor1D => tf.tensor1d([words[0] | 0, words[1] | 0], 'int32');

function onDevice(kernel: string, key: tf.Tensor, shape: readonly number[], operation: string): tf.Tensor {
  checkKey(key, operation);
  return runKernel(kernel, { key }, { shape: [...shape] });
}

function readKey(key: tf.Tensor, operation: string): Key {
  checkKey(key, operation);
  const words = key.dataSync();
  return [words[0]!, words[1]!];
}

function checkKey(key: tf.Tensor, operation: string): void {
  if (key.dtype !== 'int32' || key.rank !== 1 || key.shape[0] !== 2) {
    throw new Error(`random.${operation}: a key is int32 [2], not ${key.dtype} [${key.shape}]`);
  }
}

function checkedInteger(value: number): number {
  if (!Number.isInteger(value)) throw new Error(`random.foldIn: data must be an integer, not ${value}`);
  return value;
}

function checkedData(data: tf.Tensor): tf.Tensor {
  if (data.dtype !== 'int32' || data.size !== 1) {
    throw new Error(`random.foldIn: data must be an int32 scalar, not ${data.dtype} [${data.shape}]`);
  }
  return data;
}

function checkedSize(shape: readonly number[]): number {
  if (shape.some((d) => !Number.isInteger(d) || d < 0)) {
    throw new Error(`random: shape [${shape}] must hold non-negative integers`);
  }
  return tf.util.sizeFromShape([...shape]);
}
