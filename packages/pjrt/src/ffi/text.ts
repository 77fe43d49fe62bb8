import type { Native } from './native';

/** Text as C takes it. `bytes` must stay reachable until the call that uses `address` has returned. */
export interface NativeText {
  readonly address: number;
  /** Bytes, without the NUL. */
  readonly length: number;
  readonly bytes: Uint8Array;
}

/**
 * Text, or the bytes of a program, with a NUL behind it. PJRT is told lengths, yet what is below it (MLIR's lexer above
 * all) reads the character after the last: everything textual that crosses FFI goes through here.
 */
export function nativeText(native: Native, value: string | Uint8Array): NativeText {
  const length = typeof value === 'string' ? Buffer.byteLength(value) : value.byteLength;
  // Memory of its own: Node's pool of small buffers has the next one's bytes behind it.
  const bytes = new Uint8Array(length + 1);
  if (typeof value === 'string') Buffer.from(bytes.buffer).write(value);
  else bytes.set(value);
  return { address: native.addressOf(bytes), length, bytes };
}
