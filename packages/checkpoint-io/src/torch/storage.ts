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

/** The element type a storage is declared with. */
export interface StorageType {
  /** As torch names it. */
  readonly name: string;
  /** Bytes of an element. */
  readonly itemSize: number;
  /** Absent for types that are not read, and for storages of bytes whose tensors bring their type. */
  readonly dtype?: Dtype | undefined;
}

/** A torch storage: a run of elements in the file, shared by the tensors that view it. */
export class Storage {
  constructor(
    readonly type: StorageType,
    readonly elements: number,
    /** Byte offset in the file; legacy files give it only after the pickle. */
    public offset?: number,
  ) {}

  get byteLength(): number {
    return this.elements * this.type.itemSize;
  }
}

/** A tensor in a pickle: a checked view of a storage. */
export class TorchTensor {
  constructor(
    readonly storage: Storage,
    readonly dtype: Dtype,
    readonly first: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
    readonly negated: boolean,
  ) {}

  /** Where the tensor lies, once its storage is found. */
  locate(source: ByteSource): StoredTensor {
    const { dtype, shape, strides } = this;
    if (this.storage.offset === undefined)
      throw new CheckpointError(source.name, 'a tensor names a storage that is not in the file');
    const offset = this.storage.offset + this.first * DTYPE_BYTES[dtype];
    return {
      ...{ dtype, shape, source, offset },
      ...(!isRowMajor(shape, strides) && { strides }),
      ...(this.negated && { negated: true }),
    };
  }
}

/** A tensor of a kind that is not read, such as a sparse one: no harm until it is asked for. */
export class UnsupportedTensor {
  /** @param what such as `a sparse tensor` */
  constructor(readonly what: string) {}
}

const isIndex = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** Ranks above this occur in no model, and only slow reading down. */
const MAX_RANK = 32;

/** Checks a view against its storage. Throws a TypeError that says what is wrong. */
export function viewStorage(
  storage: Storage,
  dtype: Dtype,
  first: unknown,
  shape: readonly unknown[],
  strides: readonly unknown[],
  negated = false,
): TorchTensor {
  if (shape.length > MAX_RANK || shape.length !== strides.length || elementCount(shape) === undefined) {
    throw new TypeError('a tensor has an impossible shape');
  }
  if (!isIndex(first) || !strides.every(isIndex)) throw new TypeError('a tensor has impossible strides');
  const sizes = shape as readonly number[];
  const span = spanBytes({ dtype, shape: sizes, strides: strides as readonly number[] });
  if (!(first * DTYPE_BYTES[dtype] + span <= storage.byteLength)) {
    throw new TypeError(`a tensor of shape [${sizes}] leaves its storage of ${storage.elements} elements`);
  }
  return new TorchTensor(storage, dtype, first, sizes, strides as readonly number[], negated);
}
