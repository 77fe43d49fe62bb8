/** Checkpoints of a run: folders that appear whole or not at all. What they hold, and how one is written. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import { shardLike } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { GrpoConfig } from '../config/schema';
import type { GuardState } from '../guard';
import { mapParams } from '../maths/adamw';
import type { Params } from '../policy';
import type { TrainState } from '../update/executables';
import { listRuns, nameOf, REPLACED, WRITING } from './folder';

export const FORMAT_VERSION = 1;
export const FILES = ['trained', 'optimizer', 'ema'] as const;

/** The part of a run that is not tensors. All randomness is a function of the seed and these counters. */
export interface RunState {
  /** Epochs done, i.e. the next epoch's number. */
  readonly epoch: number;
  /** Optimizer steps done. */
  readonly updates: number;
  readonly guard: GuardState;
  readonly rollbacks: number;
}

export interface StateFile {
  readonly formatVersion: number;
  readonly run: RunState;
  readonly config: GrpoConfig;
  readonly sha256: Record<string, string>;
}

/** A checkpoint that cannot be used. */
export class CheckpointStateError extends Error {
  override readonly name = 'CheckpointStateError';
}

/**
 * Writes `<folder>/epoch-<n>` and removes all but the newest `keep`. The folder is filled under a temporary
 * name and renamed when every file is on the disk, so a kill at any moment leaves the older ones good.
 *
 * @throws {CheckpointStateError} when the disk is full; nothing of the new checkpoint is left then.
 */
export async function saveRun(
  folder: string,
  state: TrainState,
  run: RunState,
  config: GrpoConfig,
  keep: number,
): Promise<string> {
  await mkdir(folder, { recursive: true });
  const name = nameOf(run.epoch);
  const target = join(folder, name);
  const temporary = join(folder, `${WRITING}${randomBytes(6).toString('hex')}`);
  try {
    await mkdir(temporary);
    const prefixed = (prefix: string, params: Params) =>
      Object.fromEntries(Object.entries(params).map(([name, value]) => [`${prefix}.${name}`, value]));
    const contents: Record<(typeof FILES)[number], Params> = {
      trained: state.trained,
      optimizer: {
        ...prefixed('mean', state.optimizer.mean),
        ...prefixed('variance', state.optimizer.variance),
      },
      ema: state.ema,
    };
    const sha256: Record<string, string> = {};
    for (const part of FILES) {
      const file = join(temporary, `${part}.safetensors`);
      await saveSafetensors(file, contents[part], { metadata: { epoch: String(run.epoch) } });
      sha256[part] = await hashFile(file);
    }
    const stateFile: StateFile = { formatVersion: FORMAT_VERSION, run, config, sha256 };
    await writeDurably(join(temporary, 'state.json'), `${JSON.stringify(stateFile, null, 2)}\n`);
    const replaced = join(folder, `${REPLACED}${name}`);
    await rename(target, replaced).catch(ignoreMissing);
    await rename(temporary, target);
    await syncFolder(folder);
    await rm(replaced, { recursive: true, force: true });
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw explain(error, folder);
  }
  const stale = (await listRuns(folder)).slice(0, -keep);
  for (const old of stale) await rm(join(folder, old), { recursive: true, force: true });
  return target;
}

/** The state of a run that starts: the weights, zero moments, an average equal to the weights; placed like these. */
export function initialState(trained: Params): TrainState {
  const zeros = () => mapParams(trained, (value) => tf.zerosLike(value));
  return {
    trained: mapParams(trained, copyTensor),
    optimizer: { mean: zeros(), variance: zeros() },
    ema: mapParams(trained, copyTensor),
  };
}

/** A tensor of its own with the same bits, so that donating one leaves the other alone. */
export function copyTensor(value: tf.Tensor): tf.Tensor {
  return tf.tidy(() => shardLike(tf.mul(value, 1), value));
}

export async function hashFile(file: string): Promise<string> {
  const handle = await open(file, 'r');
  const hash = createHash('sha256');
  for await (const chunk of handle.createReadStream()) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

async function writeDurably(file: string, text: string): Promise<void> {
  const handle = await open(file, 'w');
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a rename durable; systems that cannot open folders do it by themselves. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {}
}

/** Whether the system refused to write because there is no room, or no more for this user. */
export function isDiskFull(error: unknown): error is NodeJS.ErrnoException {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

function explain(error: unknown, folder: string): unknown {
  if (!isDiskFull(error)) return error;
  return new CheckpointStateError(
    `No space left for a checkpoint in ${folder}; the earlier ones are good. Free some, or lower keepCheckpoints.`,
  );
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
