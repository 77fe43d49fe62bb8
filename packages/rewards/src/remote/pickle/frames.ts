/** Python's frames: started anew at this size, and left by anything larger. */
const FRAME_TARGET = 64 * 1024;
const FRAME_MINIMUM = 4;

/** The bytes of a pickle of protocol 4, in frames as CPython's C pickler cuts them. */
export class FrameWriter {
  private readonly done: Uint8Array[] = [Uint8Array.of(0x80, 4)];
  private frame: Uint8Array[] = [];
  private size = 0;

  put(bytes: Uint8Array): undefined {
    this.frame.push(bytes);
    this.size += bytes.length;
  }

  opcode(...bytes: number[]): undefined {
    this.put(Uint8Array.from(bytes));
  }

  /** An opcode with a 32-bit integer. */
  word(opcode: number, value: number): undefined {
    const bytes = Buffer.alloc(5, opcode);
    bytes.writeInt32LE(value, 1);
    this.put(bytes);
  }

  /** Texts and bytes, behind their opcode for short or long ones; large ones stand between frames. */
  blob(short: number, long: number, bytes: Uint8Array): undefined {
    const header = bytes.length < 256 ? Buffer.of(short, bytes.length) : Buffer.alloc(5, long);
    if (bytes.length >= 256) header.writeUInt32LE(bytes.length, 1);
    if (bytes.length < FRAME_TARGET) {
      this.put(header);
      this.put(bytes);
    } else {
      this.close();
      this.done.push(header, bytes);
    }
  }

  /** Ends a frame that is large enough; called before each value. */
  cut(): undefined {
    if (this.size >= FRAME_TARGET) this.close();
  }

  finish(): Uint8Array {
    this.close();
    return Buffer.concat(this.done);
  }

  private close(): void {
    if (this.size >= FRAME_MINIMUM) {
      const header = Buffer.alloc(9, 0x95);
      header.writeBigUInt64LE(BigInt(this.size), 1);
      this.done.push(header);
    }
    this.done.push(...this.frame);
    this.frame = [];
    this.size = 0;
  }
}
