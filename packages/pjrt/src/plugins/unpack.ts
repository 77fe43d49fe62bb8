import { createWriteStream } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import yauzl, { type Entry } from 'yauzl';

/** The part of yauzl 3.4 that its type package does not know yet. */
interface Archive {
  eachEntry(): AsyncIterable<Entry>;
  openReadStreamPromise(entry: Entry): Promise<Readable>;
  close(): void;
}
const { openPromise } = yauzl as unknown as { openPromise(file: string, options: object): Promise<Archive> };

/** Unpacks a wheel (a zip file) into `folder`. Names that would leave the folder are refused by yauzl. */
export async function unpackWheel(file: string, folder: string): Promise<void> {
  const archive = await openPromise(file, { autoClose: false });
  try {
    for await (const entry of archive.eachEntry()) {
      const path = join(folder, entry.fileName);
      if (entry.fileName.endsWith('/')) {
        makeFolder(path);
        continue;
      }
      makeFolder(dirname(path));
      await pipeline(
        await archive.openReadStreamPromise(entry),
        createWriteStream(path, { mode: modeOf(entry) }),
      );
    }
  } finally {
    archive.close();
  }
}

/** Unix permissions that the archive records (ptxas must stay executable); plain ones where it records none. */
const modeOf = (entry: Entry): number => ((entry.externalFileAttributes >>> 16) & 0o755) | 0o644;
