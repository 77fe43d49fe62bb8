import { type FileHandle, open } from 'node:fs/promises';
import { CheckpointError } from '../errors';

/**
 * Bytes that can be read by range. Every read is checked against `size` before anything is allocated, so a
 * length found in a damaged file cannot ask for more memory than the file itself has.
 */
export interface ByteSource {
  /** What error messages call these bytes: a path. */
  readonly name: string;
  readonly size: number;
  /** Fills `target` from `offset`. Throws a {@link CheckpointError} when the range leaves the file. */
  readInto(target: Uint8Array, offset: number): Promise<void>;
  close(): Promise<void>;
}

/** Node refuses single reads above 2 GiB, and smaller ones let other work in between. */
const READ_CHUNK = 64 * 2 ** 20;

/** Opens a file for ranged reading. Throws a {@link CheckpointError} when it is missing or not a file. */
export async function fileSource(path: string): Promise<ByteSource> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (cause) {
    throw new CheckpointError(path, `cannot be opened: ${(cause as Error).message}`, undefined, { cause });
  }
  const stat = await handle.stat();
  if (!stat.isFile()) {
    await handle.close();
    throw new CheckpointError(path, 'is not a file');
  }
  const { size } = stat;
  return {
    name: path,
    size,
    async readInto(target, offset) {
      checkRange(path, size, offset, target.byteLength);
      for (let done = 0; done < target.byteLength; ) {
        const length = Math.min(READ_CHUNK, target.byteLength - done);
        const { bytesRead } = await handle.read(target, done, length, offset + done);
        if (bytesRead === 0)
          throw new CheckpointError(path, 'became shorter while it was read', offset + done);
        done += bytesRead;
      }
    },
    close: () => handle.close(),
  };
}

/** The same interface over bytes in memory. */
export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.byteLength,
    async readInto(target, offset) {
      checkRange(name, bytes.byteLength, offset, target.byteLength);
      target.set(bytes.subarray(offset, offset + target.byteLength));
    },
    async close() {},
  };
}

/** Reads `length` bytes at `offset` into fresh memory, aligned for any typed array. */
export async function readRange(
  source: ByteSource,
  offset: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  checkRange(source.name, source.size, offset, length);
  const bytes = new Uint8Array(length);
  await source.readInto(bytes, offset);
  return bytes;
}

/** Throws unless [offset, offset + length) lies inside a file of `size` bytes. */
export function checkRange(file: string, size: number, offset: number, length: number): void {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    throw new CheckpointError(file, `an impossible range (${length} bytes from ${offset})`);
  }
  if (offset + length > size) {
    throw new CheckpointError(file, `is truncated: ${length} bytes are needed, the file has ${size}`, offset);
  }
}
