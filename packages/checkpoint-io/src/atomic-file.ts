import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** A file written beside its place under a temporary name; nobody sees it half written. */
export interface PendingFile {
  /** Where the bytes are until the commit: to read them back before it. */
  readonly temporary: string;
  write(bytes: Uint8Array): Promise<void>;
  /** Flushes to the disk and moves the file to its place. */
  commit(): Promise<void>;
  /** Removes it; harmless after a commit. */
  discard(): Promise<void>;
}

/** Starts writing `path`. The folder must exist. */
export async function pendingFile(path: string): Promise<PendingFile> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  const handle: FileHandle = await open(temporary, 'wx');
  let isOpen = true;
  const close = async () => {
    if (isOpen) await handle.close();
    isOpen = false;
  };
  return {
    temporary,
    async write(bytes) {
      for (let done = 0; done < bytes.byteLength; ) {
        const { bytesWritten } = await handle.write(bytes, done, Math.min(2 ** 30, bytes.byteLength - done));
        done += bytesWritten;
      }
    },
    async commit() {
      await handle.sync();
      await close();
      await rename(temporary, path);
      await syncFolder(dirname(path));
    },
    async discard() {
      await close();
      await rm(temporary, { force: true });
    },
  };
}

/** Writes a small file whole or not at all. The folder must exist. */
export async function writeFileAtomic(path: string, content: string | Uint8Array): Promise<void> {
  const file = await pendingFile(path);
  try {
    await file.write(typeof content === 'string' ? new TextEncoder().encode(content) : content);
    await file.commit();
  } finally {
    await file.discard();
  }
}

/** Makes a rename durable; systems that cannot open folders (Windows) do it by themselves. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {}
}
