import { type ByteSource, checkRange, readRange } from '../bytes';
import { CheckpointError } from '../errors';

/** A file inside a zip. */
export interface ZipEntry {
  readonly name: string;
  /** Byte offset and length of its data. */
  readonly offset: number;
  readonly size: number;
  readonly isCompressed: boolean;
}

const END_SIGNATURE = 0x06054b50;
const END64_SIGNATURE = 0x06064b50;
const LOCATOR64_SIGNATURE = 0x07064b50;
const ENTRY_SIGNATURE = 0x02014b50;
const LOCAL_SIGNATURE = 0x04034b50;
/** The end record and the longest comment behind it. */
const END_SEARCH = 22 + 0xffff;

/**
 * The directory of a zip file, ZIP64 included, by ranged reads. Encrypted, overlapping and duplicate
 * entries are refused: torch writes none. Throws a {@link CheckpointError} with the offset.
 */
export async function readZip(source: ByteSource): Promise<Map<string, ZipEntry>> {
  const { start, size, count } = await findDirectory(source);
  checkRange(source.name, source.size, start, size);
  const bytes = await readRange(source, start, size);
  const view = new DataView(bytes.buffer);
  const fail = (problem: string, at: number): never => {
    throw new CheckpointError(source.name, problem, start + at);
  };

  const entries = new Map<string, ZipEntry>();
  const ranges: { start: number; end: number }[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > size || view.getUint32(at, true) !== ENTRY_SIGNATURE)
      fail('the zip directory is damaged', at);
    const flags = view.getUint16(at + 8, true);
    const method = view.getUint16(at + 10, true);
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > size) fail('the zip directory is truncated', at);
    const name = Buffer.from(bytes.buffer, at + 46, nameLength).toString('utf8');
    const fields = {
      size: view.getUint32(at + 24, true),
      stored: view.getUint32(at + 20, true),
      local: view.getUint32(at + 42, true),
    };
    applyZip64(view, at + 46 + nameLength, extraLength, fields, () =>
      fail(`${name}: damaged ZIP64 fields`, at),
    );
    if (flags & 1) fail(`${name} is encrypted`, at);
    if (entries.has(name)) fail(`${name} is there twice`, at);
    const offset = await dataOffset(source, name, fields.local, nameLength);
    checkRange(source.name, start, offset, fields.stored);
    ranges.push({ start: fields.local, end: offset + fields.stored });
    const isCompressed = method !== 0 || fields.size !== fields.stored;
    entries.set(name, { name, offset, size: fields.stored, isCompressed });
    at = next;
  }
  ranges.sort((a, b) => a.start - b.start);
  for (let i = 1; i < ranges.length; i++) {
    if (ranges[i]!.start < ranges[i - 1]!.end) {
      throw new CheckpointError(source.name, 'two files in the zip overlap', ranges[i]!.start);
    }
  }
  return entries;
}

interface Directory {
  readonly start: number;
  readonly size: number;
  readonly count: number;
}

async function findDirectory(source: ByteSource): Promise<Directory> {
  const length = Math.min(source.size, END_SEARCH);
  const base = source.size - length;
  const tail = await readRange(source, base, length);
  const view = new DataView(tail.buffer);
  let at = length - 22;
  while (
    at >= 0 &&
    !(view.getUint32(at, true) === END_SIGNATURE && at + 22 + view.getUint16(at + 20, true) === length)
  )
    at--;
  if (at < 0) throw new CheckpointError(source.name, 'is a truncated zip: it has no directory', source.size);
  const directory = {
    start: view.getUint32(at + 16, true),
    size: view.getUint32(at + 12, true),
    count: view.getUint16(at + 10, true),
  };
  const isZip64 = at >= 20 && view.getUint32(at - 20, true) === LOCATOR64_SIGNATURE;
  return isZip64 ? readDirectory64(source, u64(view, at - 20 + 8)) : directory;
}

async function readDirectory64(source: ByteSource, at: number): Promise<Directory> {
  const record = new DataView((await readRange(source, at, 56)).buffer);
  if (record.getUint32(0, true) !== END64_SIGNATURE) {
    throw new CheckpointError(source.name, 'the ZIP64 directory record is damaged', at);
  }
  return { start: u64(record, 48), size: u64(record, 40), count: u64(record, 32) };
}

/** Replaces the 32-bit fields that overflowed by those of the ZIP64 extra field. */
function applyZip64(
  view: DataView,
  start: number,
  length: number,
  fields: { size: number; stored: number; local: number },
  fail: () => never,
): void {
  const wanted = (['size', 'stored', 'local'] as const).filter((field) => fields[field] === 0xffffffff);
  if (wanted.length === 0) return;
  for (let at = start; at + 4 <= start + length; ) {
    const fieldLength = view.getUint16(at + 2, true);
    if (view.getUint16(at, true) === 1) {
      if (fieldLength < 8 * wanted.length || at + 4 + fieldLength > start + length) fail();
      wanted.forEach((field, i) => {
        fields[field] = u64(view, at + 4 + 8 * i);
      });
      return;
    }
    at += 4 + fieldLength;
  }
  fail();
}

/** Where an entry's data starts: behind the local header, whose extra field torch uses for alignment. */
async function dataOffset(
  source: ByteSource,
  name: string,
  local: number,
  nameLength: number,
): Promise<number> {
  const header = new DataView((await readRange(source, local, 30)).buffer);
  if (header.getUint32(0, true) !== LOCAL_SIGNATURE || header.getUint16(26, true) !== nameLength) {
    throw new CheckpointError(source.name, `the zip header of ${name} is damaged`, local);
  }
  return local + 30 + nameLength + header.getUint16(28, true);
}

/** A 64-bit field; impossible values fail the range checks that follow. */
const u64 = (view: DataView, at: number): number => Number(view.getBigUint64(at, true));
