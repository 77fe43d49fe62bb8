/** The storage types of weights and of the activations that meet them. */
import { cast, type FloatStorage, fromBytes, storageOf, upload } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Params } from './params';

/** `x` stored as `storage`; `x` itself where it already is. */
export function castToStorage<T extends tf.Tensor>(x: T, storage: FloatStorage): T {
  return storageOf(x) === storage ? x : cast(x, storage);
}

/** `x` stored as `like` is: the precision of an activation follows the weights it meets. */
export function castLike<T extends tf.Tensor>(x: T, like: tf.Tensor): T {
  return castToStorage(x, storageOf(like));
}

/** How weights are stored: one type for all, or one per name. */
export type WeightDtype = FloatStorage | ((name: string) => FloatStorage);

const storageFor = (dtype: WeightDtype, name: string): FloatStorage =>
  typeof dtype === 'function' ? dtype(name) : dtype;

/** The record with its floats stored as `dtype`; tensors that had to be converted are disposed of. */
export function castParams(params: Params, dtype: WeightDtype): Params {
  const converted = ([name, x]: [string, tf.Tensor]) =>
    [name, x.dtype === 'float32' ? replaced(x, storageFor(dtype, name)) : x] as const;
  return Object.fromEntries(Object.entries(params).map(converted));
}

/**
 * Weights that were loaded, all of them floating point: integers in their place are quantised, and mean something else.
 *
 * @param path of their file, for the error
 * @throws naming the first that is of integers or bits; all are disposed of then
 */
export function checkFloats(params: Params, path: string): Params {
  const odd = Object.entries(params).find(([, x]) => x.dtype !== 'float32');
  if (odd === undefined) return params;
  tf.dispose(params);
  throw new Error(
    `${path}: ${odd[0]} is stored as integers (${odd[1].dtype} here), not floating point: quantised weights are not read. Give the checkpoint they were made from.`,
  );
}

/**
 * Returns a function that merges trained weights, float32 while they train, into the model's, each cast to the storage of the
 * model's weight of that name. Other names, such as those of adapters, keep their storage.
 *
 * @param params the model's weights
 * @param trainable names of those that train
 */
export function mergeTrainedWeights(
  params: Params,
  trainable: readonly string[],
): (trained: Params) => Params {
  const computedIn = new Map(trainable.map((name) => [name, storageOf(params[name]!)]));
  const narrowed = ([name, value]: [string, tf.Tensor]) =>
    [name, castToStorage(value, computedIn.get(name) ?? storageOf(value))] as const;
  return (trained) => ({ ...params, ...Object.fromEntries(Object.entries(trained).map(narrowed)) });
}

/** What `uploadAs` needs to know of a stored tensor. */
interface StoredInfo {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

/**
 * The `upload` option of `loadParams` in @flow-grpo/checkpoint-io: stored bytes go to the device as they are and become
 * `dtype` there, so that bfloat16 weights never exist as float32 and the host holds one tensor at a time. Leaves types
 * other than float32, bfloat16 and float16 to the reader.
 */
export function uploadAs(dtype: WeightDtype) {
  return async (info: StoredInfo, bytes: () => Promise<Uint8Array>): Promise<tf.Tensor | undefined> => {
    const from = info.dtype;
    if (from !== 'float32' && from !== 'bfloat16' && from !== 'float16') return undefined;
    const stored = fromBytes(await bytes(), info.shape, from);
    await upload(stored);
    return replaced(stored, storageFor(dtype, info.name));
  };
}

function replaced(x: tf.Tensor, storage: FloatStorage): tf.Tensor {
  const y = castToStorage(x, storage);
  if (y !== x) x.dispose();
  return y;
}
