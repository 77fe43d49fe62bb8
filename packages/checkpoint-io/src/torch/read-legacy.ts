import { type ByteSource, checkRange, readRange } from '../bytes';
import { CheckpointError } from '../errors';
import { type PickleHost, readPickle } from '../pickle/index';
import { PickleEndError } from '../pickle/reader';
import { torchHost } from './host';
import { Storage } from './storage';

/** What torch writes first, and the version behind it. */
const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;

/** The pickles stand before the storages and have no length: they are read in a window that grows. */
const FIRST_WINDOW = 2 ** 20;

/**
 * The object in a file of torch's format before 1.6: pickles of a magic number, a version, the machine, the
 * object and the storage keys, then each storage as a count and its elements. Reads no storage.
 */
export async function readTorchLegacy(source: ByteSource): Promise<unknown> {
  for (let window = FIRST_WINDOW; ; window *= 8) {
    const bytes = await readRange(source, 0, Math.min(window, source.size));
    try {
      return await readPickles(source, bytes);
    } catch (error) {
      if (!(error instanceof PickleEndError) || bytes.length === source.size) throw error;
    }
  }
}

async function readPickles(source: ByteSource, bytes: Uint8Array): Promise<unknown> {
  let at = 0;
  const next = (host: PickleHost): unknown => {
    const { value, end } = readPickle(bytes, host, { name: source.name, start: at, fileBytes: source.size });
    at = end;
    return value;
  };
  const nothing: PickleHost = { global: () => undefined };
  if (next(nothing) !== MAGIC) throw new CheckpointError(source.name, 'is a pickle, but not one of torch', 0);
  const version = next(nothing);
  if (version !== PROTOCOL) throw new CheckpointError(source.name, 'has an unknown legacy version', at);
  const machine = next(nothing);
  if (machine instanceof Map && machine.get('little_endian') === false) {
    throw new CheckpointError(source.name, 'was written on a big-endian machine', at);
  }
  const host = torchHost(({ type, elements }) => new Storage(type, elements));
  const value = next(host);
  const keys = next(nothing);
  if (!Array.isArray(keys)) throw new CheckpointError(source.name, 'has no list of storages', at);

  for (const key of keys) {
    const storage = typeof key === 'string' ? host.storages.get(key) : undefined;
    if (!storage) throw new CheckpointError(source.name, 'lists a storage that no tensor uses', at);
    const elements = new DataView((await readRange(source, at, 8)).buffer).getBigInt64(0, true);
    if (elements !== BigInt(storage.elements)) {
      throw new CheckpointError(
        source.name,
        `a storage has ${elements} elements, ${storage.elements} are declared`,
        at,
      );
    }
    checkRange(source.name, source.size, at + 8, storage.byteLength);
    if (storage.offset !== undefined) throw new CheckpointError(source.name, 'lists a storage twice', at);
    storage.offset = at + 8;
    at += 8 + storage.byteLength;
  }
  return value;
}
