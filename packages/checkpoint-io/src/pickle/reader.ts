import { CheckpointError } from '../errors';

/** The bytes ended inside a pickle; a longer window of the same file may hold the rest. */
export class PickleEndError extends CheckpointError {
  override readonly name: string = 'PickleEndError';
}

/** Larger integers than this many bytes serve no tensor, and converting them is slow. */
const MAX_LONG_BYTES = 1024;

/** A cursor over the bytes of pickles. Every read is checked. */
export class PickleReader {
  private readonly view: DataView;
  position: number;

  /** @param base offset of `bytes[0]` in the file, for messages */
  constructor(
    readonly file: string,
    private readonly bytes: Uint8Array,
    private readonly base = 0,
    position = 0,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = position;
  }

  /** Byte offset in the file. */
  get offset(): number {
    return this.base + this.position;
  }

  fail(problem: string): never {
    throw new CheckpointError(this.file, problem, this.offset);
  }

  private take(length: number): number {
    const at = this.position;
    if (at + length > this.bytes.length) {
      throw new PickleEndError(
        this.file,
        `the pickle is truncated: it needs ${length} more bytes`,
        this.offset,
      );
    }
    this.position = at + length;
    return at;
  }

  u8 = (): number => this.bytes[this.take(1)]!;
  u16 = (): number => this.view.getUint16(this.take(2), true);
  i32 = (): number => this.view.getInt32(this.take(4), true);
  u32 = (): number => this.view.getUint32(this.take(4), true);
  f64 = (): number => this.view.getFloat64(this.take(8), false);

  /** A 64-bit length; beyond 2^53 it is certainly not one. */
  u64(): number {
    const value = this.view.getBigUint64(this.take(8), true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) this.fail(`a length of ${value} bytes is impossible`);
    return Number(value);
  }

  /** A view of the next bytes, not a copy. */
  slice(length: number): Uint8Array {
    const at = this.take(length);
    return this.bytes.subarray(at, at + length);
  }

  text(length: number): string {
    const start = this.offset;
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.slice(length));
    } catch (error) {
      if (error instanceof CheckpointError) throw error;
      throw new CheckpointError(this.file, 'a string is not UTF-8', start);
    }
  }

  /** Text up to a line feed, which is consumed. */
  line(): string {
    const end = this.bytes.indexOf(0x0a, this.position);
    const text = this.text((end < 0 ? this.bytes.length : end) - this.position);
    this.take(1);
    return text;
  }

  /** A little-endian two's complement integer. */
  long(length: number): number | bigint {
    if (length > MAX_LONG_BYTES) this.fail(`an integer of ${length} bytes is not supported`);
    if (length === 0) return 0;
    const digits = Buffer.from(this.slice(length)).reverse().toString('hex');
    return asNumber(BigInt.asIntN(8 * length, BigInt(`0x${digits}`)));
  }

  /** A line with an integer; 00 and 01 are false and true. */
  decimal(): number | bigint | boolean {
    const text = this.line();
    if (text === '00' || text === '01') return text === '01';
    if (!/^-?\d{1,40}$/.test(text)) this.fail(`${JSON.stringify(clip(text))} is not an integer`);
    return asNumber(BigInt(text));
  }
}

/** A number where that is exact. */
const asNumber = (value: bigint): number | bigint =>
  value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;

/** The beginning of a text, for messages. */
export const clip = (text: string): string => (text.length > 60 ? `${text.slice(0, 60)}…` : text);
