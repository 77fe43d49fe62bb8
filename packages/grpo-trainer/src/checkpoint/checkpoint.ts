/** Checkpoints of a run: folders that appear whole or not at all. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { loadParams, saveSafetensors } from '@flow-grpo/checkpoint-io';
import * as tf from '@tensorflow/tfjs-core';
import type { GrpoConfig } from '../config/schema';
import type { GuardState } from '../guard';
import { mapParams } from '../maths/adamw';
import type { Params } from '../policy';
import type { TrainState } from '../update/executables';

const FORMAT_VERSION = 1;
const FILES = ['trained', 'optimizer', 'ema'] as const;

/** The part of a run that is not tensors. All randomness is a function of the seed and these counters. */
export interface RunState {
  /** Epochs done, i.e. the next epoch's number. */
  readonly epoch: number;
  /** Optimizer steps done. */
  readonly updates: number;
  readonly guard: GuardState;
  readonly rollbacks: number;
}

interface StateFile {
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
 */
export async function saveRun(
  folder: string,
  state: TrainState,
  run: RunState,
  config: GrpoConfig,
  keep: number,
): Promise<string> {
  await mkdir(folder, { recursive: true });
  const target = join(folder, `epoch-${String(run.epoch).padStart(6, '0')}`);
  const temporary = join(folder, `.tmp-${randomBytes(6).toString('hex')}`);
  await mkdir(temporary);
  try {
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
    for (const name of FILES) {
      const file = join(temporary, `${name}.safetensors`);
      await saveSafetensors(file, contents[name], { metadata: { epoch: String(run.epoch) } });
      sha256[name] = await hashFile(file);
    }
    const stateFile: StateFile = { formatVersion: FORMAT_VERSION, run, config, sha256 };
    await writeDurably(join(temporary, 'state.json'), `${JSON.stringify(stateFile, null, 2)}\n`);
    await rm(target, { recursive: true, force: true });
    await rename(temporary, target);
    await syncFolder(folder);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw explain(error, folder);
  }
  const stale = (await listRuns(folder)).slice(0, -keep);
  for (const name of stale) await rm(join(folder, name), { recursive: true, force: true });
  return target;
}

/** Names of complete checkpoints, oldest first; what a killed save left behind is removed. */
export async function listRuns(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  for (const name of names) {
    if (name.startsWith('.tmp-')) await rm(join(folder, name), { recursive: true, force: true });
  }
  return names.filter((name) => /^epoch-\d{6,}$/.test(name)).sort();
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
): Promise<{ state: TrainState; run: RunState }> {
  const text = await readFile(join(path, 'state.json'), 'utf8').catch(() => {
    throw new CheckpointStateError(`${path} is not a checkpoint of a run: it has no state.json`);
  });
  const saved = parseState(path, text);
  const changed = differences(comparable(saved.config), comparable(config));
  if (changed.length > 0) {
    throw new CheckpointStateError(
      `${path} was made with another configuration (${changed.join(', ')}): set it back, or start in another folder`,
    );
  }
  const read = async (name: string): Promise<Params> => {
    const file = join(path, `${name}.safetensors`);
    const hash = await hashFile(file).catch(() => 'missing');
    if (hash !== saved.sha256[name]) {
      throw new CheckpointStateError(
        `${file} is ${hash === 'missing' ? 'missing' : 'damaged (its checksum differs)'}; resume from an older checkpoint by its path`,
      );
    }
    return loadParams(file);
  };
  const optimizer = await read('optimizer');
  const part = (prefix: string) =>
    Object.fromEntries(
      Object.entries(optimizer)
        .filter(([name]) => name.startsWith(`${prefix}.`))
        .map(([name, value]) => [name.slice(prefix.length + 1), value]),
    );
  const state = {
    trained: await read('trained'),
    optimizer: { mean: part('mean'), variance: part('variance') },
    ema: await read('ema'),
  };
  return { state, run: saved.run };
}

/** The state of a run that starts: the policy's weights, zero moments, an average equal to the weights. */
export function initialState(trained: Params): TrainState {
  const zeros = () => mapParams(trained, (value) => tf.zeros(value.shape));
  return {
    trained: mapParams(trained, copyTensor),
    optimizer: { mean: zeros(), variance: zeros() },
    ema: mapParams(trained, copyTensor),
  };
}

/** A tensor of its own with the same bits, so that donating one leaves the other alone. */
export function copyTensor(value: tf.Tensor): tf.Tensor {
  return tf.mul(value, 1);
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

/** The configuration without what may change between the parts of one run. */
function comparable(config: GrpoConfig): unknown {
  const { epochs, devices, evalEvery, evalBatchSize, saveEvery, keepCheckpoints, guard, ...rest } = config;
  return rest.training.schedule === 'constant' ? rest : { ...rest, epochs };
}

function differences(a: unknown, b: unknown, path = ''): string[] {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    return Object.is(a, b) ? [] : [`${path}: ${JSON.stringify(a)} → ${JSON.stringify(b)}`];
  }
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  return [...new Set([...Object.keys(left), ...Object.keys(right)])].flatMap((key) =>
    differences(left[key], right[key], path ? `${path}.${key}` : key),
  );
}

async function hashFile(file: string): Promise<string> {
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

function explain(error: unknown, folder: string): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new CheckpointStateError(
    `No space left for a checkpoint in ${folder}; the earlier ones are good. Free some, or lower keepCheckpoints.`,
  );
}
