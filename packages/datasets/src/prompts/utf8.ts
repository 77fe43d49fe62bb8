/** Decodes UTF-8, keeping a byte order mark as a character. Throws where the bytes are something else. */
export const strictDecoder = (): TextDecoder => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A place in a text file. */
export interface Place {
  /** Bytes before it. */
  position: number;
  /** Its line, from 1. */
  line: number;
  /** Whether a CR stands before it, so that an LF here ends no line of its own. */
  afterCr: boolean;
}

/**
 * The error for bytes that are not UTF-8: offset, line, the byte, and the encoding that it is likely to be.
 *
 * @param from where bytes[0] lies
 */
export function decodeError(path: string, bytes: Uint8Array, from: Place): Error {
  const valid = validPrefix(bytes);
  const before = `${from.afterCr ? '\r' : ''}${strictDecoder().decode(bytes.subarray(0, valid))}`;
  const line = from.line + before.split(/\r\n?|\n/).length - (from.afterCr ? 2 : 1);
  const byte = bytes[valid]!;
  const code = `0x${byte.toString(16).padStart(2, '0')}`;
  const isLatin = byte >= 0x80 && (bytes[valid + 1] ?? 0x20) < 0x80;
  const guess = isLatin ? 'is probably Latin-1 (Windows-1252)' : 'is not UTF-8 text';
  return new Error(
    `${path}: line ${line} is not UTF-8: byte ${code} at byte ${from.position + valid}. The file ${guess}; save it as UTF-8`,
  );
}

/** Length of the longest run of whole characters at the start. */
function validPrefix(bytes: Uint8Array): number {
  const isValid = (length: number): boolean => {
    try {
      strictDecoder().decode(bytes.subarray(0, length), { stream: true });
      return true;
    } catch {
      return false;
    }
  };
  let good = 0;
  let bad = bytes.length + 1;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (isValid(middle)) good = middle;
    else bad = middle;
  }
  // A stream may hold back the start of a character: what follows it was wrong, or never came.
  while (good > 0) {
    try {
      strictDecoder().decode(bytes.subarray(0, good));
      return good;
    } catch {
      good--;
    }
  }
  return 0;
}
