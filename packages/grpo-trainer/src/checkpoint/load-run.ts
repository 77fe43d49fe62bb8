/** Reads checkpoints, and refuses in words what does not fit. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadParams } from '@flow-grpo/checkpoint-io';
import { fromBytes } from '@flow-grpo/tfjs-jit';
import type { GrpoConfig } from '../config/schema';
import { oneDevice, type Placement } from '../devices';
import type { Params } from '../policy';
import type { TrainState } from '../update/executables';
import {
  CheckpointStateError,
  type FILES,
  FORMAT_VERSION,
  hashFile,
  type RunState,
  type StateFile,
} from './checkpoint';

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
  options: LoadRunOptions = {},
): Promise<{ state: TrainState; run: RunState }> {
  const saved = await openState(path, config);
  const read = reader(path, saved, options.placement ?? oneDevice);
  const trained = await read('trained');
  const names = options.trainable ?? Object.keys(trained);
  const optimizer = await read('optimizer');
  const part = (prefix: string) =>
    Object.fromEntries(
      Object.entries(optimizer)
        .filter(([name]) => name.startsWith(`${prefix}.`))
        .map(([name, value]) => [name.slice(prefix.length + 1), value]),
    );
  const state = {
    trained: inOrder(path, trained, names),
    optimizer: { mean: inOrder(path, part('mean'), names), variance: inOrder(path, part('variance'), names) },
    ema: inOrder(path, await read('ema'), names),
  };
  return { state, run: saved.run };
}

/**
 * Reads the weights alone that evaluations use: the average, or the trained ones in a run without.
 *
 * @throws {CheckpointStateError} as {@link loadRun} does.
 */
export async function loadWeights(
  path: string,
  config: GrpoConfig,
  { placement = oneDevice, trainable }: LoadRunOptions = {},
): Promise<{ weights: Params; run: RunState }> {
  const saved = await openState(path, config);
  const weights = await reader(path, saved, placement)(config.ema.enabled ? 'ema' : 'trained');
  return { weights: inOrder(path, weights, trainable ?? Object.keys(weights)), run: saved.run };
}

async function openState(path: string, config: GrpoConfig): Promise<StateFile> {
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
  return saved;
}

/** Reads a file of a checkpoint when its checksum is right. */
function reader(path: string, saved: StateFile, placement: Placement) {
  return async (name: (typeof FILES)[number]): Promise<Params> => {
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
}

function inOrder(path: string, params: Params, names: readonly string[]): Params {
  const known = new Set(names);
  const missing = names.filter((name) => !(name in params));
  const unknown = Object.keys(params).filter((name) => !known.has(name));
  if (missing.length > 0 || unknown.length > 0) {
    throw new CheckpointStateError(
      `${path} holds other weights than train now (${[...missing.map((name) => `no ${name}`), ...unknown].slice(0, 6).join(', ')}): train the same ones, or start in another folder`,
    );
  }
  return Object.fromEntries(names.map((name) => [name, params[name]!]));
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
    sampling: { batchSize, ...sampling },
    training: { stepsPerPass, ...training },
    ...rest
  } = config;
  return { ...rest, sampling, training, ...(training.schedule !== 'constant' && { epochs }) };
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
