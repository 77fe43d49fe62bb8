/** Reads a checkpoint's folder. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { loadParams, openCheckpoint as openTensors } from '@flow-grpo/checkpoint-io';
import { fromBytes } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { type RestoreOptions, restoreState, restoreWeights } from '../checkpoint/restore';
import {
  CheckpointStateError,
  type RunState,
  type SavedCheckpoint,
  type SetupFingerprint,
} from '../checkpoint/store';
import type { GrpoConfig } from '../config/schema';
import type { Params } from '../policy';
import type { TrainState } from '../update/state';
import { checkpointEpoch, isCheckpointName } from './checkpoint-names';
import { insert, partOf, piecesIn } from './pieces';

export const FORMAT_VERSION = 2;

const FROM_OLDER = 'resume from an older checkpoint by its path (--resume)';

/** state.json */
export interface StateFile {
  readonly formatVersion: number;
  readonly run: RunState;
  readonly config: GrpoConfig;
  readonly setup: SetupFingerprint;
  /** Checksums of the parts. */
  readonly sha256: Readonly<Record<string, string>>;
}

/** A checkpoint in a folder. */
export interface FolderCheckpoint extends SavedCheckpoint {
  /** @throws {CheckpointStateError} when a file of it is damaged or missing */
  checkFiles(): Promise<void>;
}

/**
 * Opens a checkpoint's folder; tensors are read when they are asked for.
 *
 * @throws {CheckpointStateError} for another format version, for a state.json that was changed, and where there is no
 *   checkpoint.
 */
export async function openRunCheckpoint(path: string): Promise<FolderCheckpoint> {
  const text = await readFile(join(path, 'state.json'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') {
      throw new CheckpointStateError(`${path}/state.json cannot be read: ${error.message}`);
    }
    if (!existsSync(path)) {
      throw new CheckpointStateError(
        `${path} does not exist; the checkpoints of a run are in its folder checkpoints, such as runs/default/checkpoints/epoch-000020`,
      );
    }
    throw new CheckpointStateError(
      `${path} is not a checkpoint of a run: it has no state.json. If it was copied, copy it again; otherwise ${FROM_OLDER}`,
    );
  });
  const { run, config, setup, sha256 } = parseState(path, text);
  /** The file of a part, or of a process's pieces of it. */
  const checkedFile = async (stem: string): Promise<string> => {
    const file = join(path, `${stem}.safetensors`);
    const hash = await hashFile(file).catch((error: NodeJS.ErrnoException) => {
      const how = error.code === 'ENOENT' ? 'is missing' : `cannot be read: ${error.message}`;
      throw new CheckpointStateError(`${file} ${how}; ${FROM_OLDER}`);
    });
    if (hash !== sha256[stem]) {
      throw new CheckpointStateError(`${file} is damaged (its checksum differs); ${FROM_OLDER}`);
    }
    return file;
  };
  return {
    place: path,
    run,
    config,
    setup,
    parts: [...new Set(Object.keys(sha256).map((file) => partOf(file).part))],
    async checkFiles() {
      for (const stem of Object.keys(sha256)) await checkedFile(stem);
    },
    async read(part, upload = (value) => value) {
      const stems = Object.keys(sha256).filter((file) => partOf(file).part === part);
      const files: string[] = [];
      for (const stem of stems.length > 0 ? stems : [part]) {
        files.push(await checkedFile(stem));
      }
      return files.length === 1
        ? loadParams(files[0]!, {
            upload: async ({ name, shape }, bytes) =>
              upload(fromBytes(await bytes(), shape, 'float32'), name),
          })
        : loadPieces(files, upload);
    },
  };
}

/** Tensors of which several processes wrote a piece each, one after the other. */
async function loadPieces(
  files: readonly string[],
  upload: (value: Params[string], name: string) => Params[string],
): Promise<Params> {
  const opened = await Promise.all(files.map((file) => openTensors(file)));
  const loaded: Record<string, Params[string]> = {};
  try {
    const stored = opened.flatMap((tensors) => {
      const pieces = piecesIn(tensors.metadata as Record<string, string>);
      return tensors.names.map((key) => {
        const { shape } = tensors.info(key);
        const place = pieces.get(key) ?? { of: key, whole: shape, start: shape.map(() => 0) };
        return { ...place, key, shape, tensors };
      });
    });
    for (const name of new Set(stored.map(({ of }) => of))) {
      const own = stored.filter(({ of }) => of === name);
      const { whole } = own[0]!;
      const values = new Float32Array(sizeOf(whole));
      if (own.reduce((sum, { shape }) => sum + sizeOf(shape), 0) !== values.length) {
        throw new CheckpointStateError(`${files.join(', ')} hold a part of ${name} only; ${FROM_OLDER}`);
      }
      for (const { key, shape, start, tensors } of own) {
        const bytes = await tensors.readBytes(key);
        insert(values, whole, new Float32Array(bytes.buffer, bytes.byteOffset, sizeOf(shape)), shape, start);
      }
      loaded[name] = upload(fromBytes(new Uint8Array(values.buffer), whole, 'float32'), name);
    }
    return loaded;
  } catch (error) {
    tf.dispose(loaded);
    throw error;
  } finally {
    await Promise.all(opened.map((tensors) => tensors.close()));
  }
}

const sizeOf = (shape: readonly number[]) => shape.reduce((product, extent) => product * extent, 1);

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
  return restoreState(await openRunCheckpoint(path), config, options);
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
  return restoreWeights(await openRunCheckpoint(path), config, options);
}

/** The SHA-256 of a file, in hexadecimal. */
export async function hashFile(file: string): Promise<string> {
  const handle = await open(file, 'r');
  const hash = createHash('sha256');
  // By default it reads 64 KiB at a time, at half the speed.
  const chunks = handle.createReadStream({ highWaterMark: 2 ** 20 });
  for await (const chunk of chunks) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** The text of state.json, which ends with a checksum of what stands before it. */
export function formatState(state: StateFile): string {
  return `${JSON.stringify({ ...state, checksum: checksumOf(state) }, null, 2)}\n`;
}

const checksumOf = (state: StateFile) => createHash('sha256').update(JSON.stringify(state)).digest('hex');

function parseState(path: string, text: string): StateFile {
  const damaged = (how: string) =>
    new CheckpointStateError(`${path}/state.json is damaged (${how}); ${FROM_OLDER}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw damaged('it is not JSON');
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw damaged('it holds no record');
  }
  const { checksum, ...state } = parsed as StateFile & { checksum?: string };
  const { formatVersion } = state;
  if (formatVersion !== FORMAT_VERSION) {
    const isNewer = typeof formatVersion === 'number' && formatVersion > FORMAT_VERSION;
    const advice = isNewer ? 'resume it with the release that wrote it, or a newer one' : FROM_OLDER;
    throw new CheckpointStateError(
      `${path} has format version ${JSON.stringify(formatVersion)}, this release reads ${FORMAT_VERSION}: ${advice}`,
    );
  }
  if (checksum !== checksumOf(state)) {
    throw damaged('its checksum differs');
  }
  const name = basename(path);
  if (isCheckpointName(name) && checkpointEpoch(name) !== state.run.epoch) {
    throw new CheckpointStateError(
      `${path} holds the checkpoint after ${state.run.epoch} epochs, which its name does not say: give the folder its own name back`,
    );
  }
  return state;
}
