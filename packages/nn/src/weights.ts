import { deviceInfo, type FloatStorage, fromBytes, upload } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Params } from './params';
import { held } from './storage';

/** How weights are held: all alike, or each by its name. */
export type WeightStorage = FloatStorage | ((name: string) => FloatStorage);

const storageFor = (storage: WeightStorage, name: string): FloatStorage =>
  typeof storage === 'function' ? storage(name) : storage;

/** How weights are held unless told otherwise: bfloat16 on accelerators, float32 on CPUs and other backends. */
export function defaultStorage(): FloatStorage {
  return tf.getBackend() === 'xla' ? storageOn(deviceInfo()[0]!.platform) : 'float32';
}

/** The same by the name of a platform: `cpu`, `cuda`, … */
export const storageOn = (platform: string): FloatStorage => (platform === 'cpu' ? 'float32' : 'bfloat16');

/** What `uploadAs` needs to know of a stored tensor. */
interface StoredInfo {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

/**
 * The `upload` option of `loadParams` in @flow-grpo/checkpoint-io: stored bytes go to the device as they are and become
 * `storage` there, so that bfloat16 weights never exist as float32 and the host holds one tensor at a time. Leaves types
 * other than float32, bfloat16 and float16 to the reader.
 */
export function uploadAs(storage: WeightStorage) {
  return async (
    { name, dtype, shape }: StoredInfo,
    bytes: () => Promise<Uint8Array>,
  ): Promise<tf.Tensor | undefined> => {
    if (dtype !== 'float32' && dtype !== 'bfloat16' && dtype !== 'float16') return undefined;
    const stored = fromBytes(await bytes(), shape, dtype);
    await upload(stored);
    return recast(stored, storageFor(storage, name));
  };
}

/** The record with its floats held as `storage`; tensors that had to be converted are disposed of. */
export function holdParams(params: Params, storage: WeightStorage): Params {
  const hold = ([name, x]: [string, tf.Tensor]) =>
    [name, x.dtype === 'float32' ? recast(x, storageFor(storage, name)) : x] as const;
  return Object.fromEntries(Object.entries(params).map(hold));
}

function recast(x: tf.Tensor, storage: FloatStorage): tf.Tensor {
  const y = held(x, storage);
  if (y !== x) x.dispose();
  return y;
}
