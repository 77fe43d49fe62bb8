import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CheckpointError } from './errors';

/** A Hugging Face index: which shard holds which tensor. */
export interface ShardIndex {
  /** Shards in order of first mention, as paths. */
  readonly files: readonly string[];
  /** Tensor name to shard path. */
  readonly fileOf: ReadonlyMap<string, string>;
}

/**
 * Reads a `*.index.json`. Shards must be plain file names beside it, so that an index cannot point elsewhere
 * on the disk. Throws a {@link CheckpointError}.
 */
export async function readShardIndex(path: string): Promise<ShardIndex> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw new CheckpointError(path, `is not a readable index: ${(cause as Error).message}`, undefined, {
      cause,
    });
  }
  const map = (parsed as { weight_map?: unknown } | null)?.weight_map;
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw new CheckpointError(path, 'has no weight_map object');
  }
  const fileOf = new Map<string, string>();
  for (const [name, shard] of Object.entries(map)) {
    if (
      typeof shard !== 'string' ||
      shard !== basename(shard) ||
      shard === '' ||
      shard === '.' ||
      shard === '..'
    ) {
      throw new CheckpointError(path, `places ${name} in ${JSON.stringify(shard)}, which is not a file name`);
    }
    fileOf.set(name, join(dirname(path), shard));
  }
  return { files: [...new Set(fileOf.values())], fileOf };
}
