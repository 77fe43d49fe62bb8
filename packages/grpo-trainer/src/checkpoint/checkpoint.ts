/** Checkpoints of a run: folders that appear whole or not at all. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { loadParams, saveSafetensors } from '@flow-grpo/checkpoint-io';
import { fromBytes, shardLike } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import type { GrpoConfig } from '../config/schema';
import { oneDevice, type Placement } from '../devices';
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

/** Names in a folder of checkpoints: a complete one, one being written, one that makes room for its successor. */
const COMPLETE = /^epoch-\d{6,}$/;
const WRITING = '.tmp-';
const REPLACED = '.replaced-';

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
  const name = `epoch-${String(run.epoch).padStart(6, '0')}`;
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

/** Names of complete checkpoints, oldest first. */
export async function listRuns(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  return names.filter((name) => COMPLETE.test(name)).sort(byEpoch);
}

/** The epoch in a checkpoint's name or path; 0 for other names. */
export function epochOf(name: string): number {
  return Number(/epoch-(\d+)[\\/]?$/.exec(name)?.[1] ?? 0);
}

/** The newest of `names` that was saved after no more than `epochs` epochs, else the oldest. */
export function rollbackTarget(names: readonly string[], epochs: number): string | undefined {
  return names.filter((name) => epochOf(name) <= epochs).at(-1) ?? names[0];
}

/**
 * Puts a folder of checkpoints in order before a run goes on there: what a killed save left half done is removed, and
 * one that it was about to replace comes back. No other process may be writing there.
 */
export async function recoverRuns(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [] as string[]);
  for (const name of names) {
    const path = join(folder, name);
    if (name.startsWith(WRITING)) await rm(path, { recursive: true, force: true });
    if (!name.startsWith(REPLACED)) continue;
    const original = name.slice(REPLACED.length);
    if (names.includes(original)) await rm(path, { recursive: true, force: true });
    else await rename(path, join(folder, original));
  }
}

/**
 * Moves checkpoints of later epochs out of the way of a run that goes on at `epoch`, into a folder of their own beside
 * it: they would be taken for the newest, and the run's own removed before them.
 *
 * @returns where they are now; undefined when there were none.
 */
export async function setAsideAfter(folder: string, epoch: number): Promise<string | undefined> {
  const later = (await listRuns(folder)).filter((name) => epochOf(name) > epoch);
  if (later.length === 0) return undefined;
  let aside = '';
  for (let n = 1; ; n++) {
    aside = `${folder}-set-aside-${n}`;
    if (await mkdir(aside).then(() => true, ignoreExisting)) break;
  }
  for (const name of later) await rename(join(folder, name), join(aside, name));
  return aside;
}

export interface LoadRunOptions {
  /** Where the state goes; one device by default. */
  readonly placement?: Placement;
  /**
   * Names of the weights that train, in the order in which they train: sums over all of them depend on it to the bit.
   * By default those of the file in its order.
   */
  readonly trainable?: readonly string[];
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
  { placement = oneDevice, trainable }: LoadRunOptions = {},
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
    return loadParams(file, {
      // Tensor by tensor to where it belongs, so that no device ever holds them all.
      upload: async ({ name: own, shape }, bytes) => {
        const whole = fromBytes(await bytes(), shape, 'float32');
        const placed = placement.parameters({ [own]: whole })[own]!;
        if (placed !== whole) whole.dispose();
        return placed;
      },
    });
  };
  const optimizer = await read('optimizer');
  const part = (prefix: string) =>
    Object.fromEntries(
      Object.entries(optimizer)
        .filter(([name]) => name.startsWith(`${prefix}.`))
        .map(([name, value]) => [name.slice(prefix.length + 1), value]),
    );
  const trained = await read('trained');
  const names = trainable ?? Object.keys(trained);
  const known = new Set(names);
  const inOrder = (params: Params): Params => {
    const missing = names.filter((name) => !(name in params));
    const unknown = Object.keys(params).filter((name) => !known.has(name));
    if (missing.length > 0 || unknown.length > 0) {
      throw new CheckpointStateError(
        `${path} holds other weights than train now (${[...missing.map((name) => `no ${name}`), ...unknown].slice(0, 6).join(', ')}): train the same ones, or start in another folder`,
      );
    }
    return Object.fromEntries(names.map((name) => [name, params[name]!]));
  };
  const state = {
    trained: inOrder(trained),
    optimizer: { mean: inOrder(part('mean')), variance: inOrder(part('variance')) },
    ema: inOrder(await read('ema')),
  };
  return { state, run: saved.run };
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
  const {
    epochs,
    devices,
    shardParameters,
    evalEvery,
    evalBatchSize,
    saveEvery,
    keepCheckpoints,
    guard,
    ...rest
  } = config;
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

const byEpoch = (a: string, b: string) => epochOf(a) - epochOf(b);

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}

function ignoreExisting(error: NodeJS.ErrnoException): false {
  if (error.code !== 'EEXIST') throw error;
  return false;
}
