/** Reads a checkpoint's folder. */
import { createHash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadParams } from '@flow-grpo/checkpoint-io';
import { fromBytes } from '@flow-grpo/tfjs-jit';
import { type RestoreOptions, restoreState, restoreWeights } from '../checkpoint/restore';
import { CheckpointStateError, type RunState, type SavedCheckpoint } from '../checkpoint/store';
import type { GrpoConfig } from '../config/schema';
import type { Params } from '../policy';
import type { TrainState } from '../update/state';

export const FORMAT_VERSION = 1;

/** state.json */
export interface StateFile {
  readonly formatVersion: number;
  readonly run: RunState;
  readonly config: GrpoConfig;
  /** Checksums of the parts. */
  readonly sha256: Readonly<Record<string, string>>;
}

/**
 * Opens a checkpoint's folder; tensors are read when they are asked for.
 *
 * @throws {CheckpointStateError} for another format version, and where there is no checkpoint.
 */
export async function openCheckpoint(path: string): Promise<SavedCheckpoint> {
  const text = await readFile(join(path, 'state.json'), 'utf8').catch(() => {
    throw new CheckpointStateError(`${path} is not a checkpoint of a run: it has no state.json`);
  });
  const { run, config, sha256 } = parseState(path, text);
  return {
    place: path,
    run,
    config,
    parts: Object.keys(sha256),
    async read(part, upload = (value) => value) {
      const file = join(path, `${part}.safetensors`);
      const hash = await hashFile(file).catch(() => 'missing');
      if (hash !== sha256[part]) {
        throw new CheckpointStateError(
          `${file} is ${hash === 'missing' ? 'missing' : 'damaged (its checksum differs)'}; resume from an older checkpoint by its path`,
        );
      }
      return loadParams(file, {
        upload: async ({ name, shape }, bytes) => upload(fromBytes(await bytes(), shape, 'float32'), name),
      });
    },
  };
}

/**
 * Reads a checkpoint folder into a new state.
 *
 * @throws {CheckpointStateError} for another format version, for a file that is damaged, and when the
 *   configuration differs in anything but epochs, intervals and limits.
 */
export async function loadRun(
  path: string,
  config: GrpoConfig,
  options: RestoreOptions = {},
): Promise<{ state: TrainState; run: RunState }> {
  return restoreState(await openCheckpoint(path), config, options);
}

/**
 * Reads the weights alone that evaluations use: the average, or the trained ones in a run without.
 *
 * @throws {CheckpointStateError} as {@link loadRun} does.
 */
export async function loadWeights(
  path: string,
  config: GrpoConfig,
  options: RestoreOptions = {},
): Promise<{ weights: Params; run: RunState }> {
  return restoreWeights(await openCheckpoint(path), config, options);
}

/** The SHA-256 of a file, in hexadecimal. */
export async function hashFile(file: string): Promise<string> {
  const handle = await open(file, 'r');
  const hash = createHash('sha256');
  for await (const chunk of handle.createReadStream()) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

function parseState(path: string, text: string): StateFile {
  let saved: StateFile;
  try {
    saved = JSON.parse(text) as StateFile;
  } catch {
    throw new CheckpointStateError(`${path}/state.json is damaged: it is not JSON`);
  }
  if (saved.formatVersion !== FORMAT_VERSION) {
    throw new CheckpointStateError(
      `${path} has format version ${saved.formatVersion}, this release reads ${FORMAT_VERSION}`,
    );
  }
  return saved;
}
