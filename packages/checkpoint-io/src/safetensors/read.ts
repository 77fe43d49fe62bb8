import { type ByteSource, DTYPE_BYTES, elementCount, readRange, type StoredTensor } from '../bytes';
import { CheckpointError } from '../errors';
import { SAFETENSORS_DTYPES } from './dtype-names';

export interface SafetensorsContents {
  readonly tensors: Map<string, StoredTensor>;
  /** The `__metadata__` strings. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** The reference implementation's limit on the header. */
export const MAX_HEADER_BYTES = 100_000_000;

/**
 * Reads and checks the header of a safetensors file: 8 bytes of length, JSON, then the data without holes or
 * overlaps up to the end of the file. Throws a {@link CheckpointError} for anything else. Reads no tensor.
 */
export async function readSafetensors(source: ByteSource): Promise<SafetensorsContents> {
  const fail = (problem: string, offset: number): never => {
    throw new CheckpointError(source.name, problem, offset);
  };
  if (source.size < 8) fail(`${source.size} bytes are too few for a safetensors file`, 0);
  const prefix = await readRange(source, 0, 8);
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  if (length > BigInt(source.size - 8)) {
    fail(`the header claims ${length} bytes, the file has ${source.size - 8} behind the length`, 0);
  }
  if (length > BigInt(MAX_HEADER_BYTES)) fail(`a header of ${length} bytes is over the format's limit`, 0);

  const bytes = await readRange(source, 8, Number(length));
  const header = parseHeader(source.name, bytes);
  /** Byte offset of a tensor's entry, for error messages. */
  const locate = (name: string): number =>
    8 + Math.max(0, Buffer.from(bytes.buffer).indexOf(JSON.stringify(name)));

  const dataStart = 8 + Number(length);
  const metadata = readMetadata(source.name, header);
  const tensors = new Map<string, StoredTensor>();
  const ranges: { name: string; start: number; end: number }[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    if (!isRecord(entry)) fail(`the entry of tensor ${name} is not an object`, locate(name));
    const { dtype: dtypeName, shape, data_offsets: offsets } = entry as Record<string, unknown>;
    const dtype =
      typeof dtypeName === 'string' && Object.hasOwn(SAFETENSORS_DTYPES, dtypeName)
        ? SAFETENSORS_DTYPES[dtypeName]
        : undefined;
    if (dtype === undefined) {
      throw new CheckpointError(
        source.name,
        `tensor ${name} has the unsupported type ${clip(dtypeName)}`,
        locate(name),
      );
    }
    const elements = Array.isArray(shape) ? elementCount(shape) : undefined;
    if (elements === undefined) {
      throw new CheckpointError(
        source.name,
        `tensor ${name} has the impossible shape ${clip(shape)}`,
        locate(name),
      );
    }
    if (
      !Array.isArray(offsets) ||
      offsets.length !== 2 ||
      !offsets.every((at) => Number.isSafeInteger(at) && at >= 0)
    ) {
      throw new CheckpointError(
        source.name,
        `tensor ${name} has the impossible offsets ${clip(offsets)}`,
        locate(name),
      );
    }
    const [start, end] = offsets as [number, number];
    if (end < start) fail(`tensor ${name} ends (${end}) before it starts (${start})`, locate(name));
    if (dataStart + end > source.size) {
      fail(
        `tensor ${name} ends at ${dataStart + end}, behind the end of the file (${source.size})`,
        locate(name),
      );
    }
    if (elements * DTYPE_BYTES[dtype] !== end - start) {
      fail(`tensor ${name}: ${dtypeName} [${shape}] does not fill its ${end - start} bytes`, locate(name));
    }
    ranges.push({ name, start, end });
    tensors.set(name, { dtype, shape: shape as number[], source, offset: dataStart + start });
  }

  ranges.sort((a, b) => a.start - b.start || a.end - b.end);
  let covered = 0;
  for (const { name, start, end } of ranges) {
    if (start < covered) fail(`tensor ${name} overlaps the tensor before it`, dataStart + start);
    if (start > covered)
      fail(`${start - covered} bytes before tensor ${name} belong to no tensor`, dataStart + covered);
    covered = end;
  }
  if (dataStart + covered !== source.size) {
    fail(`${source.size - dataStart - covered} bytes at the end belong to no tensor`, dataStart + covered);
  }
  return { tensors, metadata };
}

function parseHeader(file: string, bytes: Uint8Array): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new CheckpointError(file, `the header is not JSON: ${clip((cause as Error).message)}`, 8, {
      cause,
    });
  }
  if (!isRecord(header)) throw new CheckpointError(file, 'the header is not a JSON object', 8);
  return header;
}

function readMetadata(file: string, header: Record<string, unknown>): Record<string, string> {
  const metadata = Object.hasOwn(header, '__metadata__') ? header.__metadata__ : {};
  if (!isRecord(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) {
    throw new CheckpointError(file, '__metadata__ is not an object of strings', 8);
  }
  return metadata as Record<string, string>;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A value as text, short enough for a message. */
function clip(value: unknown): string {
  const text = typeof value === 'string' ? value : String(JSON.stringify(value));
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
