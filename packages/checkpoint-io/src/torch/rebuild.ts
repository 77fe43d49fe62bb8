import { PickleForeign, type PickleGlobal, PickleTuple } from '../pickle/index';
import { Storage, TorchTensor, UnsupportedTensor, viewStorage } from './storage';
import { TorchDtype, TorchTensorClass } from './values';

/** The values of a tuple, list or set. Throws a TypeError for anything else. */
export function items(value: unknown): readonly unknown[] {
  if (value instanceof PickleTuple) return value.items;
  if (Array.isArray(value)) return value;
  if (value instanceof Set) return [...value];
  throw new TypeError('a tensor is described without tuples');
}

/** What a view's metadata says: torch keeps the negative and the conjugate bit there. */
function bits(metadata: unknown): { neg: boolean; conj: boolean } {
  const read = (name: string) => metadata instanceof Map && metadata.get(name) === true;
  return { neg: read('neg'), conj: read('conj') };
}

/** torch._utils._rebuild_tensor and _v2: (storage, offset, size, stride, requires_grad, hooks, metadata). */
export function rebuildTensor(args: readonly unknown[]): TorchTensor | UnsupportedTensor {
  const [storage, first, shape, strides, , , metadata] = args;
  if (!(storage instanceof Storage)) throw new TypeError('a tensor is built on what is not a storage');
  const { dtype, name } = storage.type;
  if (dtype === undefined) return new UnsupportedTensor(`a tensor in a ${name}`);
  const { neg, conj } = bits(metadata);
  if (conj || (neg && dtype === 'bool')) return new UnsupportedTensor('a conjugated or negated view');
  return viewStorage(storage, dtype, first, items(shape), items(strides), neg);
}

/** torch._utils._rebuild_tensor_v3: a view of bytes that brings its dtype, in the place before the metadata. */
export function rebuildTensorV3(args: readonly unknown[]): TorchTensor | UnsupportedTensor {
  const [storage, first, shape, strides, , , dtype, metadata] = args;
  if (!(storage instanceof Storage)) throw new TypeError('a tensor is built on what is not a storage');
  if (!(dtype instanceof TorchDtype)) throw new TypeError('a tensor has no dtype');
  if (dtype.dtype === undefined) return new UnsupportedTensor(`a tensor of ${dtype.text}`);
  const { neg, conj } = bits(metadata);
  if (conj || (neg && dtype.dtype === 'bool')) return new UnsupportedTensor('a conjugated or negated view');
  return viewStorage(storage, dtype.dtype, first, items(shape), items(strides), neg);
}

/** A parameter or buffer is its data; attributes and gradients are left out. */
export function parameter([data]: readonly unknown[]): unknown {
  if (data instanceof TorchTensor || data instanceof UnsupportedTensor || data instanceof PickleForeign) {
    return data;
  }
  throw new TypeError('a parameter is built on what is not a tensor');
}

/** A tensor of another device: the same values. */
export function rebuildToDevice([data, dtype]: readonly unknown[]): unknown {
  if (!(data instanceof TorchTensor)) throw new TypeError('a tensor is built on what is not a tensor');
  const isSame = dtype instanceof TorchDtype && dtype.dtype === data.dtype;
  return isSame ? data : new UnsupportedTensor('a tensor that another device holds in another type');
}

/**
 * torch._tensor._rebuild_from_type_v2: (function, class, its arguments, state). Parameters, buffers and tensors with
 * attributes are plain tensors; other classes may mean something else by their data.
 */
export function rebuildFromType(
  globals: ReadonlyMap<string, PickleGlobal>,
  [make, type, args]: readonly unknown[],
): unknown {
  const call = [...globals.values()].find((known) => known === make)?.call;
  if (!call && !(make instanceof PickleForeign))
    throw new TypeError('a tensor is built by no known function');
  const made = call ? call(items(args)) : foreignCall(make as PickleForeign, args);
  if (type instanceof TorchTensorClass) return made;
  if (type instanceof PickleForeign) return new PickleForeign(type.name, type.offset, [made]);
  throw new TypeError('a tensor has no class');
}

const foreignCall = ({ name, offset }: PickleForeign, args: unknown) =>
  new PickleForeign(name, offset, [args]);

/** A function of torch whose tensors are not read. */
export const unsupported = (what: string) => () => new UnsupportedTensor(what);

export function orderedDict(args: readonly unknown[]): Map<unknown, unknown> {
  const [entries] = args;
  if (entries === undefined) return new Map();
  if (entries instanceof Map) return new Map(entries);
  return new Map(
    items(entries).map((pair) => {
      const [key, value] = items(pair);
      return [key, value];
    }),
  );
}

export function buildCounter([counts]: readonly unknown[]): Map<unknown, unknown> {
  if (counts === undefined) return new Map();
  if (!(counts instanceof Map)) throw new TypeError('a Counter is built on what is not a dictionary');
  return new Map(counts);
}

/** Bytes as protocol 2 writes them: text of one character per byte. Also bytes as they are. */
export function encode([text]: readonly unknown[]): Uint8Array {
  if (text === undefined) return new Uint8Array(0);
  if (text instanceof Uint8Array) return text;
  if (typeof text !== 'string') throw new TypeError('bytes are built on what is not text');
  return Uint8Array.from(Buffer.from(text, 'latin1'));
}
