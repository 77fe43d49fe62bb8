import { DTYPE_BYTES, type Dtype } from '../bytes';
import type { StorageType } from './storage';

const typed = (dtype: Dtype): Omit<StorageType, 'name'> => ({ itemSize: DTYPE_BYTES[dtype], dtype });

/** torch's storage classes by name, of the CPU and of CUDA. */
const STORAGES: Readonly<Record<string, Omit<StorageType, 'name'>>> = {
  DoubleStorage: typed('float64'),
  FloatStorage: typed('float32'),
  HalfStorage: typed('float16'),
  BFloat16Storage: typed('bfloat16'),
  LongStorage: typed('int64'),
  IntStorage: typed('int32'),
  ShortStorage: typed('int16'),
  CharStorage: typed('int8'),
  ByteStorage: typed('uint8'),
  BoolStorage: typed('bool'),
  ComplexFloatStorage: { itemSize: 8 },
  ComplexDoubleStorage: { itemSize: 16 },
  QUInt8Storage: { itemSize: 1 },
  QInt8Storage: { itemSize: 1 },
  QInt32Storage: { itemSize: 4 },
  QUInt4x2Storage: { itemSize: 1 },
  QUInt2x4Storage: { itemSize: 1 },
};

/** Storages of bytes: the tensors in them bring their type (`_rebuild_tensor_v3`). */
const UNTYPED: StorageType = { name: 'torch.storage.UntypedStorage', itemSize: 1 };

/** Every storage class a checkpoint may name, by module and name. */
export const STORAGE_TYPES: ReadonlyMap<string, StorageType> = new Map([
  ...Object.entries(STORAGES).flatMap(([name, type]) =>
    ['torch', 'torch.cuda'].map((module): [string, StorageType] => [
      `${module}.${name}`,
      { ...type, name: `torch.${name}` },
    ]),
  ),
  [UNTYPED.name, UNTYPED],
]);

const SUB_BYTE = [1, 2, 3, 4, 5, 6, 7].flatMap((bits) => [`int${bits}`, `uint${bits}`]);

/** dtypes of torch that have no counterpart here. */
const UNREAD = [
  ...['complex32', 'complex64', 'complex128'],
  ...['float8_e4m3fnuz', 'float8_e5m2fnuz', 'float8_e8m0fnu', 'float4_e2m1fn_x2'],
  ...['quint8', 'qint8', 'qint32', 'quint4x2', 'quint2x4'],
  ...['bits8', 'bits16', 'bits1x8', 'bits2x4', 'bits4x2'],
  ...SUB_BYTE,
];

/** torch's dtypes by name, with the type they are read as, if any. */
export const TORCH_DTYPES: ReadonlyMap<string, Dtype | undefined> = new Map<string, Dtype | undefined>([
  ...(Object.keys(DTYPE_BYTES) as Dtype[]).map((dtype) => [dtype, dtype] as const),
  ...UNREAD.map((name) => [name, undefined] as const),
]);
