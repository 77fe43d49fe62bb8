import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type ByteSource, fileSource, readRange, type StoredTensor } from './bytes';
import { type Checkpoint, checkpointOf } from './checkpoint';
import { CheckpointError } from './errors';
import { foreignFormat, SNIFFED_BYTES } from './foreign-formats';
import { readSafetensors } from './safetensors/read';
import { readShardIndex } from './sharded';
import { readTorch } from './torch/read';

export interface OpenOptions {
  /**
   * PyTorch files that hold several dictionaries: the path of the state dict (`['state_dict']`). Without it a
   * root that holds no tensor itself is entered as long as exactly one entry holds tensors; if several do,
   * names are joined with dots from the root.
   */
  readonly root?: readonly string[];
}

/** What is looked for in a folder, in this order. */
const FOLDER_FILES = [
  'model.safetensors.index.json',
  'model.safetensors',
  'diffusion_pytorch_model.safetensors.index.json',
  'diffusion_pytorch_model.safetensors',
  'pytorch_model.bin.index.json',
  'pytorch_model.bin',
];

/**
 * Of the names of a folder's files those that `openCheckpoint` of the folder reads: the first choice among the usual names,
 * with its shards. What to download of a repository that holds the same weights in several formats.
 */
export function checkpointFiles(names: readonly string[]): string[] {
  const first = FOLDER_FILES.find((name) => names.includes(name));
  if (first === undefined) return [];
  const [, stem, type] = /^(.*)\.(safetensors|bin)\.index\.json$/.exec(first) ?? [];
  const isShard = (name: string) => new RegExp(`^${stem}-\\d+-of-\\d+\\.${type}$`).test(name);
  return stem === undefined ? [first] : [first, ...names.filter(isShard)];
}

/** What may be a checkpoint among the names of a folder without the usual ones. */
function checkpointCandidates(names: readonly string[]): string[] {
  const candidates = names.filter((name) => /\.(safetensors|index\.json|bin|pth|pt)$/.test(name));
  const indices = candidates.filter((name) => name.endsWith('.index.json'));
  return indices.length > 0 ? indices : candidates;
}

/** The one checkpoint that `openCheckpoint` reads of a folder without the usual names; none where there are several. */
export function onlyCheckpoint(names: readonly string[]): string[] {
  const candidates = checkpointCandidates(names);
  return candidates.length === 1 ? candidates : [];
}

/**
 * Opens a checkpoint: a safetensors file, a PyTorch file, the index of a sharded one, or a folder with one of
 * them. The format is told by the content, not by the name. Headers and pickles are read and checked here,
 * tensors later. Throws a {@link CheckpointError} for files that are missing, damaged or hostile.
 */
export async function openCheckpoint(path: string, options: OpenOptions = {}): Promise<Checkpoint> {
  const file = await resolveFile(path);
  if (!file.endsWith('.index.json')) return openSource(await fileSource(file), options);

  const index = await readShardIndex(file);
  const sources: ByteSource[] = [];
  try {
    const shards = new Map<string, ReadonlyMap<string, StoredTensor>>();
    let metadata: Readonly<Record<string, unknown>> = {};
    for (const shard of index.files) {
      const source = await fileSource(shard);
      sources.push(source);
      const contents = await readSource(source, options);
      shards.set(shard, contents.tensors);
      metadata = { ...metadata, ...contents.metadata };
    }
    const tensors = new Map<string, StoredTensor>();
    const absent: string[] = [];
    for (const [name, shard] of index.fileOf) {
      const tensor = shards.get(shard)?.get(name);
      if (tensor) tensors.set(name, tensor);
      else absent.push(name);
    }
    if (absent.length > 0) {
      throw new CheckpointError(
        file,
        `lists tensors that their shards do not hold: ${absent.slice(0, 20).join(', ')}`,
      );
    }
    return checkpointOf(path, tensors, metadata);
  } catch (error) {
    await Promise.all(sources.map((source) => source.close()));
    throw error;
  }
}

/** The same over any bytes; the checkpoint owns `source` and closes it, also when this throws. */
export async function openSource(source: ByteSource, options: OpenOptions = {}): Promise<Checkpoint> {
  try {
    const { tensors, metadata } = await readSource(source, options);
    return checkpointOf(source.name, tensors, metadata);
  } catch (error) {
    await source.close();
    throw error;
  }
}

interface Contents {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, unknown>>;
}

async function readSource(source: ByteSource, { root }: OpenOptions): Promise<Contents> {
  const start = await readRange(source, 0, Math.min(source.size, SNIFFED_BYTES));
  if (start[0] === 0x50 && start[1] === 0x4b) return readTorch(source, true, root);
  if (!looksLikeSafetensors(start)) {
    if (looksLikePickle(start)) return readTorch(source, false, root);
    const other = foreignFormat(start);
    if (other !== undefined) throw new CheckpointError(source.name, other, 0);
  }
  return readSafetensors(source);
}

async function resolveFile(path: string): Promise<string> {
  const info = await stat(path).catch((cause: Error) => {
    throw new CheckpointError(path, `cannot be opened: ${cause.message}`, undefined, { cause });
  });
  if (!info.isDirectory()) return path;
  const entries = await readdir(path);
  const known = FOLDER_FILES.find((name) => entries.includes(name));
  if (known) return join(path, known);
  const only = checkpointCandidates(entries);
  if (only.length === 1) return join(path, only[0]!);
  throw new CheckpointError(
    path,
    only.length === 0
      ? `holds no checkpoint (looked for ${FOLDER_FILES.join(', ')})`
      : `holds several checkpoints, name one: ${only.join(', ')}`,
  );
}

/** Eight bytes of length, whose high ones are zeros below the format's limit, then the brace of a JSON object. */
const looksLikeSafetensors = (start: Uint8Array): boolean =>
  start[8] === 0x7b && start.subarray(4, 8).every((byte) => byte === 0);

/** The opcode PROTO with a protocol that has binary pickles. */
const looksLikePickle = (start: Uint8Array): boolean => start[0] === 0x80 && start[1]! >= 2 && start[1]! <= 5;

/** Names and shapes of a checkpoint, out of its headers. */
export async function storedShapes(
  path: string,
  filter: (name: string) => boolean = () => true,
): Promise<Record<string, readonly number[]>> {
  const checkpoint = await openCheckpoint(path);
  try {
    const names = checkpoint.names.filter(filter);
    return Object.fromEntries(names.map((name) => [name, checkpoint.info(name).shape]));
  } finally {
    await checkpoint.close();
  }
}
