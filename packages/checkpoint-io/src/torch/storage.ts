import {
  type ByteSource,
  DTYPE_BYTES,
  type Dtype,
  elementCount,
  isRowMajor,
  type StoredTensor,
  spanBytes,
} from '../bytes';
import { CheckpointError } from '../errors';

/** A torch storage: a run of elements in the file, shared by the tensors that view it. */
export interface Storage {
  readonly dtype: Dtype;
  readonly elements: number;
  /** Byte offset in the file; legacy files give it only after the pickle. */
  offset: number | undefined;
}

/** A tensor in a pickle: a checked view of a storage. */
export class TorchTensor {
  constructor(
    readonly storage: Storage,
    readonly first: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}

  /** Where the tensor lies, once its storage is found. */
  locate(source: ByteSource): StoredTensor {
    const { dtype, offset } = this.storage;
    if (offset === undefined)
      throw new CheckpointError(source.name, 'a tensor names a storage that is not in the file');
    const at = { dtype, shape: this.shape, source, offset: offset + this.first * DTYPE_BYTES[dtype] };
    return isRowMajor(this.shape, this.strides) ? at : { ...at, strides: this.strides };
  }
}

const isIndex = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** Ranks above this occur in no model, and only slow reading down. */
const MAX_RANK = 32;

/** Checks a view against its storage. Throws a TypeError that says what is wrong. */
export function viewStorage(
  storage: Storage,
  first: unknown,
  shape: readonly unknown[],
  strides: readonly unknown[],
): TorchTensor {
  if (shape.length > MAX_RANK || shape.length !== strides.length || elementCount(shape) === undefined) {
    throw new TypeError('a tensor has an impossible shape');
  }
  if (!isIndex(first) || !strides.every(isIndex)) throw new TypeError('a tensor has impossible strides');
  const sizes = shape as readonly number[];
  const span = spanBytes({ dtype: storage.dtype, shape: sizes, strides: strides as readonly number[] });
  if (!(first * DTYPE_BYTES[storage.dtype] + span <= storage.elements * DTYPE_BYTES[storage.dtype])) {
    throw new TypeError(`a tensor of shape [${sizes}] leaves its storage of ${storage.elements} elements`);
  }
  return new TorchTensor(storage, first, sizes, strides as readonly number[]);
}
