import { DTYPE_BYTES, type Dtype, tfDtype } from './dtypes';

/** Negates little-endian numbers in place: floats by their sign bit, integers modulo their range. */
export function negateBytes(dtype: Dtype, bytes: Uint8Array): void {
  const size = DTYPE_BYTES[dtype];
  if (tfDtype(dtype) === 'float32') {
    for (let at = size - 1; at < bytes.length; at += size) bytes[at]! ^= 0x80;
    return;
  }
  for (let at = 0; at < bytes.length; at += size) {
    let carry = 1; // two's complement: all bits turned, and one more
    for (let i = at; i < at + size; i++) {
      const sum = (bytes[i]! ^ 0xff) + carry;
      bytes[i] = sum;
      carry = sum >> 8;
    }
  }
}
