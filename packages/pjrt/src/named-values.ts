import type { Native } from './ffi/native';
import { nativeText } from './ffi/text';
import { Words } from './ffi/words';

/** Values of client options, device attributes and cost properties. */
export type NamedValue = string | number | bigint | boolean | readonly number[];

const STRIDE = 7;
/** Options that are floats to XLA even when their value is a whole number. */
const FLOAT_OPTIONS = new Set(['memory_fraction']);

/**
 * An array of PJRT_NamedValue in native memory: { size, extension, name, name_size, type, value, value_size }.
 * `keep` must stay reachable until the call that uses `address` has returned.
 */
export function encodeNamedValues(
  native: Native,
  values: Readonly<Record<string, NamedValue>>,
): { address: number; count: number; keep: unknown[] } {
  const entries = Object.entries(values);
  const words = new Words(Math.max(1, entries.length * STRIDE), native.addressOf);
  const keep: unknown[] = [words];
  const text = (value: string): [address: number, length: number] => {
    const { address, length, bytes } = nativeText(native, value);
    keep.push(bytes);
    return [address, length];
  };
  entries.forEach(([name, value], index) => {
    const at = index * STRIDE;
    const [address, length] = text(name);
    words.set(at, STRIDE * 8);
    words.set(at + 2, address);
    words.set(at + 3, length);
    words.set(at + 6, 1);
    if (typeof value === 'string') {
      const [content, size] = text(value);
      words.set(at + 5, content);
      words.set(at + 6, size);
    } else if (typeof value === 'boolean') {
      words.set(at + 4, 4);
      words.set(at + 5, value ? 1 : 0);
    } else if (typeof value === 'object') {
      const list = BigInt64Array.from(value, BigInt);
      keep.push(list);
      words.set(at + 4, 2);
      words.set(at + 5, native.addressOf(list));
      words.set(at + 6, list.length);
    } else if (typeof value === 'bigint' || (Number.isInteger(value) && !FLOAT_OPTIONS.has(name))) {
      words.set(at + 4, 1);
      new BigInt64Array(words.buffer)[at + 5] = BigInt(value);
    } else {
      words.set(at + 4, 3);
      new Float32Array(words.buffer)[2 * (at + 5)] = value;
    }
  });
  return { address: entries.length === 0 ? 0 : words.address, count: entries.length, keep };
}

/** Reads `count` PJRT_NamedValue at `address`; the stride is the size that the plugin wrote. */
export function decodeNamedValues(
  native: Native,
  address: number,
  count: number,
): Record<string, NamedValue> {
  const values: Record<string, NamedValue> = {};
  let at = address;
  for (let i = 0; i < count; i++) {
    const words = new BigUint64Array(native.copy(at, STRIDE * 8).buffer);
    const name = Buffer.from(native.copy(Number(words[2]), Number(words[3]))).toString();
    const bytes = new DataView(words.buffer, 5 * 8, 8);
    const size = Number(words[6]);
    const type = Number(words[4]! & 0xffffffffn);
    if (type === 0) values[name] = Buffer.from(native.copy(Number(words[5]), size)).toString();
    else if (type === 1) values[name] = Number(bytes.getBigInt64(0, true));
    else if (type === 2) {
      const list = new BigInt64Array(native.copy(Number(words[5]), size * 8).buffer);
      values[name] = Array.from(list, Number);
    } else if (type === 3) values[name] = bytes.getFloat32(0, true);
    else if (type === 4) values[name] = bytes.getUint8(0) !== 0;
    at += Math.max(Number(words[0]), STRIDE * 8);
  }
  return values;
}
