import { type Dtype, tfDtype } from './dtypes';
import { halfToFloatTable } from './half';

/** What a tensor's values become on the host: float32 for floats, int32 for integers, bytes for booleans. */
export type Values = Float32Array | Int32Array | Uint8Array;

export function allocateValues(dtype: Dtype, count: number): Values {
  switch (tfDtype(dtype)) {
    case 'float32':
      return new Float32Array(count);
    case 'int32':
      return new Int32Array(count);
    case 'bool':
      return new Uint8Array(count);
  }
}

/**
 * Widens stored little-endian `bytes` (their buffer offset a multiple of the element size) into `out` from
 * element `at`. Throws a RangeError when an integer does not fit int32.
 */
export function widenInto(dtype: Dtype, bytes: Uint8Array, out: Values, at: number): void {
  const { buffer, byteOffset, byteLength } = bytes;
  switch (dtype) {
    case 'float32':
      out.set(new Float32Array(buffer, byteOffset, byteLength / 4), at);
      return;
    case 'float64':
      out.set(new Float64Array(buffer, byteOffset, byteLength / 8), at);
      return;
    case 'bfloat16': {
      const from = new Uint16Array(buffer, byteOffset, byteLength / 2);
      const to = new Uint32Array(out.buffer, out.byteOffset + 4 * at, from.length);
      for (let i = 0; i < from.length; i++) to[i] = from[i]! << 16;
      return;
    }
    case 'float16':
      lookUp(new Uint16Array(buffer, byteOffset, byteLength / 2), halfToFloatTable(), out, at);
      return;
    case 'float8_e4m3fn':
      lookUp(bytes, float8Table(4, 3), out, at);
      return;
    case 'float8_e5m2':
      lookUp(bytes, float8Table(5, 2), out, at);
      return;
    case 'int32':
      out.set(new Int32Array(buffer, byteOffset, byteLength / 4), at);
      return;
    case 'int16':
      out.set(new Int16Array(buffer, byteOffset, byteLength / 2), at);
      return;
    case 'int8':
      out.set(new Int8Array(buffer, byteOffset, byteLength), at);
      return;
    case 'uint16':
      out.set(new Uint16Array(buffer, byteOffset, byteLength / 2), at);
      return;
    case 'uint8':
      out.set(bytes, at);
      return;
    case 'bool':
      for (let i = 0; i < byteLength; i++) out[at + i] = bytes[i] === 0 ? 0 : 1;
      return;
    case 'uint32': {
      const from = new Uint32Array(buffer, byteOffset, byteLength / 4);
      for (let i = 0; i < from.length; i++) {
        if (from[i]! > 0x7fffffff) throw new RangeError(`${from[i]} at element ${at + i} does not fit int32`);
        out[at + i] = from[i]!;
      }
      return;
    }
    case 'int64':
    case 'uint64': {
      // Two words an element: BigInt arithmetic would be an order of magnitude slower.
      const words = new Int32Array(buffer, byteOffset, byteLength / 4);
      for (let i = 0; i < words.length / 2; i++) {
        const low = words[2 * i]!;
        const high = words[2 * i + 1]!;
        if (high !== low >> 31 || (dtype === 'uint64' && low < 0)) {
          throw new RangeError(`an ${dtype} value at element ${at + i} does not fit int32`);
        }
        out[at + i] = low;
      }
      return;
    }
  }
}

function lookUp(from: Uint16Array | Uint8Array, table: Float32Array, out: Values, at: number): void {
  for (let i = 0; i < from.length; i++) out[at + i] = table[from[i]!]!;
}

/** The 256 values of an 8-bit float; E4M3FN has no infinities, E5M2 has IEEE's. */
function float8Table(exponentBits: number, fractionBits: number): Float32Array {
  const bias = 2 ** (exponentBits - 1) - 1;
  const scale = 2 ** fractionBits;
  const top = 2 ** exponentBits - 1;
  return Float32Array.from({ length: 256 }, (_, bits) => {
    const exponent = (bits >> fractionBits) & top;
    const fraction = bits & (scale - 1);
    let magnitude =
      exponent === 0 ? (fraction / scale) * 2 ** (1 - bias) : (1 + fraction / scale) * 2 ** (exponent - bias);
    if (exponentBits === 4 && (bits & 0x7f) === 0x7f) magnitude = Number.NaN;
    if (exponentBits === 5 && exponent === top)
      magnitude = fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN;
    return bits & 0x80 ? -magnitude : magnitude;
  });
}
