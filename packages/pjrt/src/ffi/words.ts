/**
 * Native memory as 64-bit words, read and written as plain numbers.
 *
 * PJRT's argument structs are sequences of 8-byte words (its few int and bool fields may be written as whole
 * little-endian words). Pointers of user space stay below 2^53, so they are plain numbers here: two 32-bit stores
 * instead of a BigInt per pointer, which is what makes a dispatch with a thousand buffers cheap.
 */
const WORD = 4294967296;

export class Words {
  readonly buffer: ArrayBuffer;
  /** The address of word 0; valid as long as this object is reachable, since array buffers do not move. */
  readonly address: number;
  readonly u32: Uint32Array;

  constructor(count: number, addressOf: (memory: ArrayBuffer) => number) {
    this.buffer = new ArrayBuffer(count * 8);
    this.u32 = new Uint32Array(this.buffer);
    this.address = addressOf(this.buffer);
  }

  /** Writes an unsigned integer below 2^53. */
  set(index: number, value: number): void {
    this.u32[2 * index] = value;
    this.u32[2 * index + 1] = value / WORD;
  }

  /** Reads a pointer, a size or any unsigned integer below 2^53. */
  get(index: number): number {
    return this.u32[2 * index]! + this.u32[2 * index + 1]! * WORD;
  }

  /** Reads a signed 64-bit integer (exact up to 2^53). */
  getInt64(index: number): number {
    return this.u32[2 * index]! + (this.u32[2 * index + 1]! | 0) * WORD;
  }

  /** Reads a C int. */
  getInt32(index: number): number {
    return this.u32[2 * index]! | 0;
  }

  /** Reads a C bool. */
  getBool(index: number): boolean {
    return (this.u32[2 * index]! & 0xff) !== 0;
  }
}
