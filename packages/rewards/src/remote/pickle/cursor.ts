import { PickleError } from './values';

/** Python refuses longer decimal texts too: converting them takes quadratic time. */
const MAX_DIGITS = 4300;
const MAX_LONG_BYTES = 1024;

/** A checked cursor over the bytes of a pickle. */
export class Cursor {
  private readonly view: DataView;
  position = 0;

  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.bytes.length - this.position;
  }

  get length(): number {
    return this.bytes.length;
  }

  private take(count: number): number {
    if (count > this.left) throw new PickleError(`the pickle is cut short at byte ${this.bytes.length}`);
    const at = this.position;
    this.position += count;
    return at;
  }

  u8 = (): number => this.view.getUint8(this.take(1));
  u16 = (): number => this.view.getUint16(this.take(2), true);
  i32 = (): number => this.view.getInt32(this.take(4), true);
  u32 = (): number => this.view.getUint32(this.take(4), true);
  f64 = (): number => this.view.getFloat64(this.take(8), false);
  /** A 64-bit length; those beyond 2^53 lose digits, but no body is that long. */
  u64 = (): number => Number(this.view.getBigUint64(this.take(8), true));

  /** A copy, so that a value kept does not keep the whole body. */
  copy(count: number): Uint8Array {
    const at = this.take(count);
    return this.bytes.slice(at, at + count);
  }

  /** UTF-8 in which lone surrogates may be encoded, as Python writes them. */
  utf8(count: number): string {
    const at = this.take(count);
    return decodeUtf8(this.bytes.subarray(at, at + count));
  }

  /** Latin-1 up to a line feed, which is consumed. */
  line(): string {
    const end = this.bytes.indexOf(0x0a, this.position);
    if (end < 0) throw new PickleError('a line of the pickle has no end');
    const text = Buffer.from(this.bytes.subarray(this.position, end)).toString('latin1');
    this.position = end + 1;
    return text;
  }

  /** A little-endian two's complement integer. */
  long(count: number): number | bigint {
    if (count > MAX_LONG_BYTES) throw new PickleError(`an integer of ${count} bytes is not supported`);
    if (count === 0) return 0;
    const digits = Buffer.from(this.copy(count)).reverse().toString('hex');
    return integer(BigInt.asIntN(8 * count, BigInt(`0x${digits}`)));
  }
}

/** A decimal integer as text. */
export function decimal(text: string): number | bigint {
  if (text.length > MAX_DIGITS || !/^[+-]?\d+$/.test(text)) {
    throw new PickleError('the pickle has a malformed integer');
  }
  return integer(BigInt(text.replace(/^\+/, '')));
}

/** More than Python's repr of any float; the pattern below takes quadratic time for long texts that do not fit. */
const MAX_FLOAT_LETTERS = 400;

/** A float as Python's repr writes it. */
export function float(text: string): number {
  if (text.length > MAX_FLOAT_LETTERS) throw new PickleError('the pickle has a malformed number');
  const special = /^([+-]?)(inf|nan)$/.exec(text);
  if (special)
    return (special[1] === '-' ? -1 : 1) * (special[2] === 'inf' ? Number.POSITIVE_INFINITY : Number.NaN);
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text))
    throw new PickleError('the pickle has a malformed number');
  return Number(text);
}

/** Latin-1 with \uXXXX and \UXXXXXXXX, Python's raw-unicode-escape. */
export function rawUnicodeEscape(text: string): string {
  return text.replace(
    // Every run of backslashes fits, whatever follows: no start is tried twice.
    /(\\+)(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))?/g,
    (whole, slashes: string, short?: string, long?: string) => {
      if (slashes.length % 2 === 0 || (short ?? long) === undefined) return whole;
      const point = Number.parseInt((short ?? long)!, 16);
      if (point > 0x10ffff) throw new PickleError('the pickle has a character beyond Unicode');
      return slashes.slice(1) + String.fromCodePoint(point);
    },
  );
}

const integer = (value: bigint): number | bigint =>
  value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;

function decodeUtf8(bytes: Uint8Array): string {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const parts: string[] = [];
  let start = 0;
  try {
    for (let i = bytes.indexOf(0xed); i >= 0; i = bytes.indexOf(0xed, i + 1)) {
      const [, second = 0, third = 0] = bytes.subarray(i, i + 3);
      if (second < 0xa0 || second > 0xbf || third < 0x80 || third > 0xbf) continue;
      parts.push(decoder.decode(bytes.subarray(start, i)));
      parts.push(String.fromCharCode(0xd000 | ((second & 63) << 6) | (third & 63)));
      start = i + 3;
    }
    parts.push(decoder.decode(bytes.subarray(start)));
  } catch {
    throw new PickleError('a text of the pickle is not UTF-8');
  }
  return parts.join('');
}
