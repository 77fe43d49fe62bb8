import * as tf from '@tensorflow/tfjs-core';
import type { TensorInfo } from './checkpoint';
import { CheckpointError } from './errors';
import { type OpenOptions, openCheckpoint } from './open';

export interface LoadProgress {
  readonly name: string;
  /** Bytes of the tensors loaded so far and of all that will be, in their stored types. */
  readonly loadedBytes: number;
  readonly totalBytes: number;
}

export interface LoadOptions extends OpenOptions {
  /** Which tensors to load; all by default. Others are never read. */
  readonly filter?: (name: string, info: TensorInfo) => boolean;
  /** The name of a tensor in the result; the stored one by default. */
  readonly rename?: (name: string) => string;
  /**
   * Makes a tensor from the stored bytes, for backends that hold the type as it is (bfloat16); undefined
   * falls back to widening on the host.
   */
  readonly upload?: (
    info: TensorInfo,
    bytes: () => Promise<Uint8Array<ArrayBuffer>>,
  ) => Promise<tf.Tensor | undefined>;
  readonly onProgress?: (progress: LoadProgress) => void;
  readonly signal?: AbortSignal;
}

/**
 * Loads a checkpoint tensor by tensor onto the current backend, so that the host holds one tensor at a time
 * beside what the backend keeps. Tied weights become tensors that share their data. On an error everything
 * loaded so far is disposed.
 */
export async function loadParams(
  path: string,
  options: LoadOptions = {},
): Promise<Record<string, tf.Tensor>> {
  const { filter = () => true, rename = (name) => name, upload, onProgress, signal } = options;
  const checkpoint = await openCheckpoint(path, options);
  const loaded = new Map<string, tf.Tensor>();
  const byStoredName = new Map<string, tf.Tensor>();
  try {
    const names = checkpoint.names.filter((name) => filter(name, checkpoint.info(name)));
    const totalBytes = names.reduce((sum, name) => sum + checkpoint.info(name).byteLength, 0);
    let loadedBytes = 0;
    for (const name of names) {
      signal?.throwIfAborted();
      const info = checkpoint.info(name);
      const target = rename(name);
      if (loaded.has(target)) throw new CheckpointError(info.file, `two tensors are renamed to ${target}`);
      const twin = checkpoint
        .tied(name)
        .map((other) => byStoredName.get(other))
        .find((tensor) => tensor !== undefined);
      const tensor = twin
        ? tf.clone(twin)
        : ((await upload?.(info, () => checkpoint.readBytes(name))) ?? (await checkpoint.read(name)));
      byStoredName.set(name, tensor);
      loaded.set(target, tensor);
      loadedBytes += info.byteLength;
      onProgress?.({ name, loadedBytes, totalBytes });
    }
    return Object.fromEntries(loaded);
  } catch (error) {
    tf.dispose([...loaded.values()]);
    throw error;
  } finally {
    await checkpoint.close();
  }
}
