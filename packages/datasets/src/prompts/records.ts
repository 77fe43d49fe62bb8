import { isBlank } from './blank';
import { openTextBytes, type TextBytes } from './text-bytes';
import { decodeError, type Place, strictDecoder } from './utf8';

/** Where the records of a text file lie: record i is bytes spans[2i] up to spans[2i + 1], line end excluded. */
export interface RecordFile {
  readonly length: number;
  /** Records [start, end) as text, without their line ends. */
  read(start: number, end: number): Promise<string[]>;
  close(): Promise<void>;
}

const CHUNK = 1 << 17;
const LF = 10;
const CR = 13;
const QUOTE = 34;

/**
 * Indexes a file by one pass over it, 128 KiB at a time; memory holds 16 bytes per record, not the records.
 * Lines end with LF, CR LF or CR. Lines without a visible character are left out. With `delimiter`, line ends
 * within quoted fields do not end a record (CSV); a field is quoted when it starts with a double quote.
 *
 * @throws with the byte offset and the line of what is not UTF-8, and for NUL characters and open quotes
 */
export async function indexRecords(path: string, delimiter?: string): Promise<RecordFile> {
  const file = await openTextBytes(path);
  try {
    const spans = await scan(file, path, delimiter?.charCodeAt(0));
    return {
      length: spans.length / 2,
      read: (start, end) => readSpans(file, path, spans, start, end),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Bytes of a UTF-16 code unit in UTF-8; the halves of a pair count two each. */
const utf8Length = (code: number): number =>
  code < 0x80 ? 1 : code < 0x800 || (code & 0xf800) === 0xd800 ? 2 : 3;

/** How a CSV field is being read: before its first character, as it stands, within quotes, behind a quote there. */
type Field = 'start' | 'plain' | 'quoted' | 'quote';

/** Start and end (line end excluded) of every record that is not blank, one after the other. */
async function scan(file: TextBytes, path: string, delimiter: number | undefined): Promise<Float64Array> {
  const spans = growingArray();
  let line = 1;
  let position = 0;
  let start = 0;
  let blank = true;
  let afterCr = false;
  let field: Field = 'start';
  let quoteLine = 0;
  const finish = () => {
    if (!blank) spans.push(start, position);
    blank = true;
    field = 'start';
  };
  for await (const text of strictText(file, path, () => ({ position, line, afterCr }))) {
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      const isEnd = code === LF || code === CR;
      if (code === 0) {
        throw new Error(
          `${path}: line ${line} holds a NUL character at byte ${position}; the file is binary, or UTF-16 or UTF-32 without a byte order mark: save it as UTF-8`,
        );
      }
      if (isEnd && field !== 'quoted') {
        finish();
        start = position + 1;
      } else if (position === 0 && code === 0xfeff) {
        start = 3; // byte order mark
      } else {
        if (blank && !isBlank(text[i]!)) blank = false;
        if (delimiter !== undefined) {
          if (code === delimiter && field !== 'quoted') field = 'start';
          else if (code === QUOTE && field === 'start') {
            field = 'quoted';
            quoteLine = line;
          } else if (code === QUOTE && field !== 'plain') field = field === 'quote' ? 'quoted' : 'quote';
          else if (field !== 'quoted') field = 'plain';
        }
      }
      if (code === CR || (code === LF && !afterCr)) line++;
      afterCr = code === CR;
      position += utf8Length(code);
    }
  }
  if (field === 'quoted') throw new Error(`${path}: the double quote of line ${quoteLine} is never closed`);
  finish();
  return spans.values();
}

/** The file's text in pieces. `at` gives the place behind the pieces so far, for errors. */
async function* strictText(file: TextBytes, path: string, at: () => Place): AsyncGenerator<string> {
  const chunk = Buffer.alloc(CHUNK);
  const decoder = strictDecoder();
  for (let position = 0; ; ) {
    const length = await file.read(chunk, position);
    const bytes = chunk.subarray(0, length);
    position += length;
    let text: string;
    try {
      text = decoder.decode(bytes, { stream: length > 0 });
    } catch {
      const from = at();
      const undecoded = Buffer.alloc(position - from.position);
      await file.read(undecoded, from.position);
      throw decodeError(path, undecoded, from);
    }
    yield text;
    if (length === 0) return;
  }
}

async function readSpans(
  file: TextBytes,
  path: string,
  spans: Float64Array,
  start: number,
  end: number,
): Promise<string[]> {
  if (start >= end) return [];
  const first = spans[2 * start]!;
  const bytes = Buffer.alloc(spans[2 * end - 1]! - first);
  if ((await file.read(bytes, first)) < bytes.length) throw new Error(`${path} became shorter while in use`);
  const decoder = strictDecoder();
  return Array.from({ length: end - start }, (_, i) => {
    const at = 2 * (start + i);
    const record = bytes.subarray(spans[at]! - first, spans[at + 1]! - first);
    try {
      return decoder.decode(record);
    } catch {
      throw new Error(`${path} changed while in use: record ${start + i + 1} is no longer UTF-8`);
    }
  });
}

function growingArray() {
  let numbers = new Float64Array(1024);
  let length = 0;
  return {
    push(...values: number[]) {
      if (length + values.length > numbers.length) {
        const grown = new Float64Array(2 * numbers.length);
        grown.set(numbers);
        numbers = grown;
      }
      for (const value of values) numbers[length++] = value;
    },
    values: () => numbers.subarray(0, length),
  };
}
