/**
 * Parquet values as JSON has them, so that they can be sent and compared as those of a JSON file: 64-bit integers
 * become numbers where that is exact and decimal text where it is not.
 */
export function plainValues(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (Array.isArray(value)) return value.map(plainValues);
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) {
    return value;
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plainValues(item)]));
}
