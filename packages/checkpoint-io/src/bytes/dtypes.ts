/** Element types a checkpoint may store, under PyTorch's names, with their size in bytes. */
export const DTYPE_BYTES = {
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  float8_e4m3fn: 1,
  float8_e5m2: 1,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint64: 8,
  uint32: 4,
  uint16: 2,
  uint8: 1,
  bool: 1,
} as const;

export type Dtype = keyof typeof DTYPE_BYTES;

/** The tfjs type that holds a stored type: floats widen to float32, integers to int32. */
export function tfDtype(dtype: Dtype): 'float32' | 'int32' | 'bool' {
  if (dtype === 'bool') return 'bool';
  return dtype.startsWith('float') || dtype === 'bfloat16' ? 'float32' : 'int32';
}

/**
 * Number of elements of a shape, or undefined when a dimension is not a non-negative integer or the product
 * leaves the safe integers. A zero dimension does not hide an overflow in the others.
 */
export function elementCount(shape: readonly unknown[]): number | undefined {
  let count = 1;
  let nonZero = 1;
  for (const dimension of shape) {
    if (typeof dimension !== 'number' || !Number.isSafeInteger(dimension) || dimension < 0) return undefined;
    count *= dimension;
    nonZero *= dimension || 1;
    if (!Number.isSafeInteger(nonZero)) return undefined;
  }
  return count;
}
