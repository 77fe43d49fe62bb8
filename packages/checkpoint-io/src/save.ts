import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type PendingFile, pendingFile } from './atomic-file';
import { fileSource } from './bytes';
import { CheckpointError } from './errors';
import { makeFolder } from './make-folder';
import {
  checkMetadata,
  encodeHeader,
  type FloatDtype,
  type Planned,
  planTensors,
  type Savable,
  tensorBytes,
  verifySafetensors,
} from './safetensors/write';
import { readShardIndex } from './sharded';

export interface SaveOptions {
  /** Strings for the header's `__metadata__`. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Bytes of tensor data a file may hold; above it the checkpoint is split in Hugging Face's layout. */
  readonly shardSize?: number;
  /** How float32 tensors are stored; 'float32' by default. */
  readonly dtype?: FloatDtype;
  /**
   * Called with each run of bytes as it is written, from a file's first to its last: a checksum need not read the file. The bytes
   * are lent for the call. What it throws ends the save, which leaves nothing behind.
   */
  readonly onBytes?: (bytes: Uint8Array, file: string) => void;
}

/**
 * Writes tensors as safetensors and returns the paths written, the one to open first. A single file appears
 * whole or not at all (temporary file, flush, rename). Above `shardSize` bytes `model.safetensors` becomes
 * `model-00001-of-0000N.safetensors` … and `model.safetensors.index.json`; the index goes away first and
 * comes back last, so a crash in between leaves a checkpoint that is refused, never a mixture. What an earlier
 * save of the same name left behind is removed. Throws a TypeError, before anything is written, for tensors, names,
 * metadata or options that the format cannot hold; what was written is read back before it takes its place.
 */
export async function saveSafetensors(
  file: string,
  params: Readonly<Record<string, Savable>>,
  options: SaveOptions = {},
): Promise<string[]> {
  const { metadata = {}, shardSize = Number.POSITIVE_INFINITY, dtype = 'float32', onBytes } = options;
  if (!/[^/\\]\.safetensors$/.test(file)) throw new TypeError(`${file}: the name must be NAME.safetensors`);
  if (!(shardSize > 0)) throw new TypeError(`shardSize must be positive, got ${shardSize}`);
  checkMetadata(metadata);
  const shards = splitShards(planTensors(params, dtype), shardSize);
  const folder = dirname(file);
  const stem = basename(file, '.safetensors');
  makeFolder(folder);
  const indexFile = join(folder, `${stem}.safetensors.index.json`);
  if (shards.length === 1) {
    await writeFiles([{ path: file, tensors: shards[0]! }], metadata, onBytes);
    await removeStale(folder, stem, [file]);
    return [file];
  }

  const number = (n: number) => String(n).padStart(5, '0');
  const files = shards.map((tensors, i) => ({
    path: join(folder, `${stem}-${number(i + 1)}-of-${number(shards.length)}.safetensors`),
    tensors,
  }));
  await writeFiles(files, metadata, onBytes, () => rm(indexFile, { force: true }));
  const index = {
    metadata: { total_size: shards.flat().reduce((sum, { byteLength }) => sum + byteLength, 0) },
    weight_map: Object.fromEntries(
      files.flatMap(({ path, tensors }) => tensors.map(({ name }) => [name, basename(path)] as const)),
    ),
  };
  const pending = await pendingFile(indexFile);
  try {
    await pending.write(new TextEncoder().encode(`${JSON.stringify(index, null, 2)}\n`));
    const read = await readShardIndex(pending.temporary);
    const isSame = files.every(({ path, tensors }) =>
      tensors.every(({ name }) => read.fileOf.get(name) === path),
    );
    if (!isSame) throw new CheckpointError(indexFile, 'reads back otherwise than it was written');
    await pending.commit();
  } finally {
    await pending.discard();
  }
  const written = [indexFile, ...files.map(({ path }) => path)];
  await removeStale(folder, stem, written);
  return written;
}

/** Fills shards in order; a tensor larger than a shard gets one of its own. At least one shard. */
function splitShards(tensors: readonly Planned[], shardSize: number): Planned[][] {
  const shards: Planned[][] = [[]];
  let used = 0;
  for (const tensor of tensors) {
    if (used + tensor.byteLength > shardSize && shards.at(-1)!.length > 0) {
      shards.push([]);
      used = 0;
    }
    shards.at(-1)!.push(tensor);
    used += tensor.byteLength;
  }
  return shards;
}

/** Writes all files under temporary names, reads them back, then moves them to their places. */
async function writeFiles(
  files: readonly { path: string; tensors: readonly Planned[] }[],
  metadata: Readonly<Record<string, string>>,
  onBytes: SaveOptions['onBytes'],
  beforeCommit: () => Promise<void> = async () => {},
): Promise<void> {
  const pending: PendingFile[] = [];
  try {
    const headers = files.map(({ tensors }) => encodeHeader(tensors, metadata));
    for (const [i, { path, tensors }] of files.entries()) {
      const file = await pendingFile(path);
      pending.push(file);
      const write = (bytes: Uint8Array) => {
        const written = file.write(bytes);
        written.catch(() => {}); // awaited below, unless onBytes throws
        onBytes?.(bytes, path); // while the disk works
        return written;
      };
      await write(headers[i]!);
      for await (const bytes of bytesAhead(tensors)) await write(bytes);
      const written = await fileSource(file.temporary);
      await verifySafetensors(written, tensors, metadata).finally(() => written.close());
    }
    await beforeCommit();
    for (const file of pending) await file.commit();
  } finally {
    for (const file of pending) await file.discard();
  }
}

/** Bytes of tensors, one after the other; each comes from its device while the one before it is written. */
async function* bytesAhead(tensors: readonly Planned[]): AsyncGenerator<Uint8Array> {
  const bytesOf = (tensor: Planned | undefined) => {
    const bytes = tensor && tensorBytes(tensor);
    bytes?.catch(() => {}); // thrown where it is awaited, if no other error comes first
    return bytes;
  };
  let next = bytesOf(tensors[0]);
  for (const i of tensors.keys()) {
    const bytes = await next!;
    next = bytesOf(tensors[i + 1]);
    yield bytes;
  }
}

/** Removes the other layout's files and surplus shards of an earlier save of the same name. */
async function removeStale(folder: string, stem: string, written: readonly string[]): Promise<void> {
  const keep = new Set(written.map((path) => basename(path)));
  for (const name of await readdir(folder)) {
    const rest = name.startsWith(stem) ? name.slice(stem.length) : '';
    const ours = /^(-\d{5}-of-\d{5})?\.safetensors$|^\.safetensors\.index\.json$/.test(rest);
    if (ours && !keep.has(name)) await rm(join(folder, name), { force: true });
  }
}
