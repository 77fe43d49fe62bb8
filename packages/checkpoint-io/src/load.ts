import * as tf from '@tensorflow/tfjs-core';
import type { Checkpoint, TensorInfo } from './checkpoint';
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

/** Bytes and tensors that may be on their way at once: enough to keep the disk, the memory and the device's bus busy. */
const AHEAD = { bytes: 128 * 2 ** 20, tensors: 16 };

/**
 * Loads a checkpoint tensor by tensor onto the current backend. While some tensors are made the next ones are read, so
 * the host holds 128 MiB (or two tensors, where they are larger) beside what the backend keeps. Tied weights become
 * tensors that share their data. On an error everything loaded so far is disposed.
 */
export async function loadParams(
  path: string,
  options: LoadOptions = {},
): Promise<Record<string, tf.Tensor>> {
  const { filter = () => true, rename = (name) => name, onProgress, signal } = options;
  const checkpoint = await openCheckpoint(path, options);
  const loaded = new Map<string, tf.Tensor>();
  const ahead: Promise<tf.Tensor>[] = [];
  try {
    const names = checkpoint.names.filter((name) => filter(name, checkpoint.info(name)));
    const targets = targetsOf(checkpoint, names, rename);
    const firstOf = firstNames(checkpoint, names);
    const distinct = names.filter((name) => firstOf(name) === name);
    const sizeOf = (name: string) => checkpoint.info(name).byteLength;
    const totalBytes = names.reduce((sum, name) => sum + sizeOf(name), 0);
    let loadedBytes = 0;
    let started = 0;
    let bytesAhead = 0;
    const startMore = () => {
      for (let name = distinct[started]; name !== undefined; name = distinct[started]) {
        const full = bytesAhead + sizeOf(name) > AHEAD.bytes || ahead.length >= AHEAD.tensors;
        if (full && ahead.length > 1) return;
        const made = make(checkpoint, name, options.upload);
        made.catch(() => {}); // told where it is awaited
        ahead.push(made);
        bytesAhead += sizeOf(name);
        started++;
      }
    };
    for (const name of names) {
      signal?.throwIfAborted();
      let tensor: tf.Tensor;
      if (firstOf(name) === name) {
        startMore();
        tensor = await ahead[0]!;
        ahead.shift();
        bytesAhead -= sizeOf(name);
      } else {
        tensor = tf.clone(loaded.get(targets.get(firstOf(name))!)!);
      }
      loaded.set(targets.get(name)!, tensor);
      loadedBytes += sizeOf(name);
      onProgress?.({ name, loadedBytes, totalBytes });
    }
    return Object.fromEntries(loaded);
  } catch (error) {
    tf.dispose([...loaded.values()]);
    for (const made of await Promise.allSettled(ahead)) {
      if (made.status === 'fulfilled') made.value.dispose();
    }
    throw error;
  } finally {
    await checkpoint.close();
  }
}

async function make(checkpoint: Checkpoint, name: string, upload: LoadOptions['upload']): Promise<tf.Tensor> {
  const uploaded = await upload?.(checkpoint.info(name), () => checkpoint.readBytes(name));
  return uploaded ?? checkpoint.read(name);
}

/** The names under which tensors are returned. */
function targetsOf(
  checkpoint: Checkpoint,
  names: readonly string[],
  rename: (name: string) => string,
): Map<string, string> {
  const sources = new Map<string, string>();
  for (const name of names) {
    const target = rename(name);
    if (sources.has(target)) {
      throw new CheckpointError(checkpoint.info(name).file, `two tensors are renamed to ${target}`);
    }
    sources.set(target, name);
  }
  return new Map([...sources].map(([target, name]) => [name, target]));
}

/** Of tied tensors, the one that comes first. */
function firstNames(checkpoint: Checkpoint, names: readonly string[]): (name: string) => string {
  const first = new Map<string, string>();
  for (const name of names) {
    if (first.has(name)) continue;
    for (const twin of checkpoint.tied(name)) first.set(twin, name);
  }
  return (name) => first.get(name)!;
}
