import { type FileHandle, open } from 'node:fs/promises';

/** A text file's bytes as UTF-8, read by range. */
export interface TextBytes {
  /** Fills `target` from `position`; returns how many bytes there were. */
  read(target: Uint8Array, position: number): Promise<number>;
  close(): Promise<void>;
}

/**
 * Opens a text file. UTF-8 is read from the disk as it is asked for; UTF-16 with a byte order mark, which some
 * Windows programs write, is converted in memory first.
 *
 * @throws naming the file when UTF-16 in it is damaged
 */
export async function openTextBytes(path: string): Promise<TextBytes> {
  const file = await open(path, 'r');
  try {
    const mark = Buffer.alloc(2);
    await fill(file, mark, 0);
    const isLittle = mark[0] === 0xff && mark[1] === 0xfe;
    const isBig = mark[0] === 0xfe && mark[1] === 0xff;
    if (!isLittle && !isBig) {
      return { read: (target, position) => fill(file, target, position), close: () => file.close() };
    }
    const bytes = await file.readFile();
    await file.close();
    return memoryBytes(Buffer.from(decodeUtf16(path, bytes.subarray(2), isBig), 'utf8'));
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function fill(file: FileHandle, target: Uint8Array, position: number): Promise<number> {
  let filled = 0;
  while (filled < target.length) {
    const { bytesRead } = await file.read(target, filled, target.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

function memoryBytes(bytes: Uint8Array): TextBytes {
  return {
    read: async (target, position) => {
      const part = bytes.subarray(position, position + target.length);
      target.set(part);
      return part.length;
    },
    close: async () => {},
  };
}

/** Text of UTF-16 behind its byte order mark. */
function decodeUtf16(path: string, bytes: Buffer, isBig: boolean): string {
  if (bytes.length % 2 !== 0) {
    throw new Error(`${path}: the UTF-16 text ends within a character, at byte ${bytes.length + 1}`);
  }
  const text = (isBig ? bytes.swap16() : bytes).toString('utf16le');
  const lone = text.search(/\p{Surrogate}/u);
  if (lone >= 0) {
    const line = text.slice(0, lone).split(/\r\n?|\n/).length;
    throw new Error(`${path}: line ${line} is not UTF-16: half a character at byte ${2 + 2 * lone}`);
  }
  return text;
}
