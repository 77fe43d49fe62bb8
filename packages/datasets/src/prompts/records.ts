import { type FileHandle, open } from 'node:fs/promises';

/** Where the records of a text file lie: record i is bytes starts[i] up to starts[i + 1], line end included. */
export interface RecordFile {
  readonly length: number;
  /** Records [start, end) as text, without their line ends. */
  read(start: number, end: number): Promise<string[]>;
  close(): Promise<void>;
}

const CHUNK = 1 << 20;
const LF = 10;
const QUOTE = 34;

/**
 * Indexes a file by one pass over its bytes, a megabyte at a time; memory holds 16 bytes a record, not the
 * records. Blank lines are left out. With `quoted`, line ends within double quotes do not end a record (CSV).
 */
export async function indexRecords(path: string, quoted = false): Promise<RecordFile> {
  const file = await open(path, 'r');
  try {
    const spans = await scan(file, quoted, path);
    return {
      length: spans.length / 2,
      read: (start, end) => readSpans(file, spans, start, end),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Start and end (line end excluded) of every record that is not blank, one after the other. */
async function scan(file: FileHandle, quoted: boolean, path: string): Promise<Float64Array> {
  let spans = new Float64Array(1024);
  let count = 0;
  let start = 0;
  let blank = true;
  let inside = false;
  let position = 0;
  const finish = (end: number) => {
    if (!blank) {
      if (count + 2 > spans.length) {
        const grown = new Float64Array(2 * spans.length);
        grown.set(spans);
        spans = grown;
      }
      spans[count++] = start;
      spans[count++] = end;
    }
    blank = true;
    start = end + 1;
  };
  const chunk = Buffer.alloc(CHUNK);
  for (;;) {
    const { bytesRead } = await file.read(chunk, 0, CHUNK, position);
    if (bytesRead === 0) break;
    let from = 0;
    if (position === 0 && chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf) {
      from = 3; // byte order mark
      start = 3;
    }
    for (let i = from; i < bytesRead; i++) {
      const byte = chunk[i]!;
      if (byte === LF && !inside) finish(position + i);
      else {
        if (byte > 32) blank = false;
        if (quoted && byte === QUOTE) inside = !inside;
      }
    }
    position += bytesRead;
  }
  if (inside) throw new Error(`${path}: a double quote is never closed`);
  finish(position);
  return spans.subarray(0, count);
}

async function readSpans(
  file: FileHandle,
  spans: Float64Array,
  start: number,
  end: number,
): Promise<string[]> {
  if (start >= end) return [];
  const first = spans[2 * start]!;
  const bytes = Buffer.alloc(spans[2 * end - 1]! - first);
  let filled = 0;
  while (filled < bytes.length) {
    const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, first + filled);
    if (bytesRead === 0) throw new Error('A prompt file became shorter while in use');
    filled += bytesRead;
  }
  return Array.from({ length: end - start }, (_, i) => {
    const at = 2 * (start + i);
    return bytes.toString('utf8', spans[at]! - first, spans[at + 1]! - first).replace(/\r$/, '');
  });
}
