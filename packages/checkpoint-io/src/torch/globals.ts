import type { Dtype } from '../bytes';
import { type PickleGlobal, type PickleHost, PickleTuple } from '../pickle/index';
import { type Storage, TorchTensor, viewStorage } from './storage';

const STORAGE_DTYPES: Readonly<Record<string, Dtype>> = {
  DoubleStorage: 'float64',
  FloatStorage: 'float32',
  HalfStorage: 'float16',
  BFloat16Storage: 'bfloat16',
  Float8_e4m3fnStorage: 'float8_e4m3fn',
  Float8_e5m2Storage: 'float8_e5m2',
  LongStorage: 'int64',
  IntStorage: 'int32',
  ShortStorage: 'int16',
  CharStorage: 'int8',
  ByteStorage: 'uint8',
  BoolStorage: 'bool',
};

/** A storage class named in a pickle. */
class StorageType implements PickleGlobal {
  /** Named, never called. */
  readonly call = undefined;
  constructor(readonly dtype: Dtype) {}
}

const items = (value: unknown): readonly unknown[] => {
  if (value instanceof PickleTuple) return value.items;
  if (Array.isArray(value)) return value;
  throw new TypeError('a tensor is described without tuples');
};

const rebuildTensor = ([storage, first, shape, strides]: readonly unknown[]): TorchTensor => {
  if (!isStorage(storage)) throw new TypeError('a tensor is built on what is not a storage');
  return viewStorage(storage, first, items(shape), items(strides));
};

const orderedDict = (args: readonly unknown[]): Map<unknown, unknown> => {
  if (args.length === 0) return new Map();
  return new Map(
    items(args[0]).map((pair) => {
      const [key, value] = items(pair);
      return [key, value];
    }),
  );
};

const parameter = ([data]: readonly unknown[]): TorchTensor => {
  if (!(data instanceof TorchTensor)) throw new TypeError('a parameter is built on what is not a tensor');
  return data;
};

/** Everything a torch checkpoint may name. */
const GLOBALS: ReadonlyMap<string, PickleGlobal> = new Map<string, PickleGlobal>([
  ['collections.OrderedDict', { call: orderedDict }],
  ['torch._utils._rebuild_tensor', { call: rebuildTensor }],
  ['torch._utils._rebuild_tensor_v2', { call: rebuildTensor }],
  ['torch._utils._rebuild_parameter', { call: parameter }],
  ['torch.Size', { call: ([shape]) => items(shape ?? new PickleTuple([])) }],
  ...Object.entries(STORAGE_DTYPES).map(([name, dtype]): [string, PickleGlobal] => [
    `torch.${name}`,
    new StorageType(dtype),
  ]),
]);

const storages = new WeakSet<object>();
const isStorage = (value: unknown): value is Storage =>
  typeof value === 'object' && value !== null && storages.has(value);

/** A storage as a persistent id declares it. */
export interface StorageId {
  readonly key: string;
  readonly dtype: Dtype;
  readonly elements: number;
}

/** The host of torch's pickles: its allow-list, and storages found by `find`, one object a key. */
export function torchHost(find: (id: StorageId) => Storage): PickleHost & { storages: Map<string, Storage> } {
  const known = new Map<string, Storage>();
  return {
    storages: known,
    global: (module, name) => GLOBALS.get(`${module}.${name}`),
    persistent: (id) => {
      const [kind, type, key, , elements, view] = id instanceof PickleTuple ? id.items : [];
      if (kind !== 'storage' || !(type instanceof StorageType) || typeof key !== 'string') {
        throw new TypeError('a persistent id is not that of a storage');
      }
      if (!Number.isSafeInteger(elements) || (elements as number) < 0) {
        throw new TypeError(`storage ${key} has an impossible size`);
      }
      if (view !== undefined && view !== null) throw new TypeError('views of storages are not supported');
      const earlier = known.get(key);
      if (earlier) {
        if (earlier.dtype !== type.dtype || earlier.elements !== elements) {
          throw new TypeError(`storage ${key} is declared twice with different types or sizes`);
        }
        return earlier;
      }
      const storage = find({ key, dtype: type.dtype, elements: elements as number });
      storages.add(storage);
      known.set(key, storage);
      return storage;
    },
  };
}
