import * as tf from '@tensorflow/tfjs-core';
import {
  count,
  DTYPE_BYTES,
  type Dtype,
  readBytes,
  readValues,
  type StoredTensor,
  tfDtype,
  type Values,
} from './bytes';
import { CheckpointError } from './errors';

export interface TensorInfo {
  readonly name: string;
  /** The stored element type. */
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Bytes of the contiguous tensor in its stored type. */
  readonly byteLength: number;
  /** The file that holds it. */
  readonly file: string;
}

/** An open checkpoint: names and shapes are known, tensors are read one by one. */
export interface Checkpoint {
  /** The files it consists of. */
  readonly files: readonly string[];
  readonly names: readonly string[];
  /** safetensors: the `__metadata__` strings. PyTorch: the plain values beside the state dict. */
  readonly metadata: Readonly<Record<string, unknown>>;
  has(name: string): boolean;
  /** Type and shape. Throws a {@link CheckpointError} for a name that is not there, as all readers do. */
  info(name: string): TensorInfo;
  /** Names that share the very same view of the same storage (tied weights), `name` included. */
  tied(name: string): readonly string[];
  /** A tensor on the current backend: floats as float32, integers as int32, booleans as bool. */
  read(name: string): Promise<tf.Tensor>;
  /** The same values on the host. */
  readValues(name: string): Promise<Values>;
  /** Row-major little-endian bytes in the stored type, for uploads that need no float32 detour. */
  readBytes(name: string): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/** A checkpoint over located tensors; `what` names it in errors. */
export function checkpointOf(
  what: string,
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, unknown>>,
): Checkpoint {
  const sources = new Set([...tensors.values()].map(({ source }) => source));
  const names = [...tensors.keys()];
  const identities = groupBy(names, (name) => identity(tensors.get(name)!));
  const find = (name: string): StoredTensor => {
    const tensor = tensors.get(name);
    if (!tensor) throw new CheckpointError(what, `has no tensor named ${name}`);
    return tensor;
  };
  return {
    files: [...sources].map(({ name }) => name),
    names,
    metadata,
    has: (name) => tensors.has(name),
    info: (name) => {
      const { dtype, shape, source } = find(name);
      return { name, dtype, shape, byteLength: count(find(name)) * DTYPE_BYTES[dtype], file: source.name };
    },
    tied: (name) => identities.get(identity(find(name)))!,
    read: async (name) => {
      const { shape, dtype } = find(name);
      return tf.tensor(await readValues(name, find(name)), shape.slice(), tfDtype(dtype));
    },
    readValues: async (name) => readValues(name, find(name)),
    readBytes: async (name) => readBytes(name, find(name)),
    close: async () => {
      await Promise.all([...sources].map((source) => source.close()));
    },
  };
}

const identity = ({ source, offset, dtype, shape, strides, negated }: StoredTensor): string =>
  [source.name, offset, dtype, shape, strides ?? '', negated ?? false].join('|');

function groupBy(names: readonly string[], key: (name: string) => string): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const name of names) {
    const group = groups.get(key(name));
    if (group) group.push(name);
    else groups.set(key(name), [name]);
  }
  return groups;
}
