/** From the state of a run to the parts of a checkpoint and back; refuses in words what does not fit. */
import type { GrpoConfig } from '../config/schema';
import { oneDevice } from '../devices';
import type { Placement } from '../placement';
import type { Params } from '../policy';
import type { TrainState } from '../update/state';
import { changesOf, type Difference } from './compare';
import { CheckpointStateError, type RunState, type SavedCheckpoint, type SetupFingerprint } from './store';

export interface RestoreOptions {
  /** Where the state goes; one device by default. */
  readonly placement?: Placement;
  /**
   * Names of the weights that train, in the order in which they train: sums over all of them depend on it to the bit.
   * By default those of the checkpoint in its order.
   */
  readonly trainable?: readonly string[];
  /** The shapes that these weights have now; not looked at without it. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  /** What the run is made of now; not compared without it. */
  readonly setup?: SetupFingerprint;
  /** Paths of the configuration and names of the setup (`setup.NAME`) that may differ, with all below them. */
  readonly allowChanged?: readonly string[];
}

/**
 * The parts of a checkpoint: `trained`, `optimizer` (mean.NAME, variance.NAME), `ema`, and `copies` (COPY.NAME) where there
 * are any.
 */
export function partsOf({ trained, optimizer, ema, copies }: TrainState): Record<string, Params> {
  const own = { trained, optimizer: prefixed({ ...optimizer }), ema };
  return Object.keys(copies).length > 0 ? { ...own, copies: prefixed(copies) } : own;
}

/**
 * The state that a checkpoint holds, placed on the devices; its copies are those that were saved.
 *
 * @throws {CheckpointStateError} when the configuration differs in anything but epochs, intervals and limits, when the
 *   setup does, when other weights train or have other shapes, and when a part cannot be read.
 */
export async function restoreState(
  saved: SavedCheckpoint,
  config: GrpoConfig,
  options: RestoreOptions = {},
): Promise<{ state: TrainState; run: RunState }> {
  checkSameRun(saved, config, options);
  const read = reader(saved, options.placement);
  const trained = await read('trained');
  const names = options.trainable ?? Object.keys(trained);
  const order = (params: Params) => inOrder(saved.place, params, names, options.shapes);
  const { mean = {}, variance = {} } = unprefixed(await read('optimizer'));
  const ema = await read('ema');
  const copies = saved.parts.includes('copies') ? unprefixed(await read('copies')) : {};
  const state = {
    trained: order(trained),
    optimizer: { mean: order(mean), variance: order(variance) },
    ema: order(ema),
    copies: Object.fromEntries(Object.entries(copies).map(([name, params]) => [name, order(params)])),
  };
  return { state, run: saved.run };
}

/**
 * The weights alone that evaluations use: the average, or the trained ones in a run without.
 *
 * @throws {CheckpointStateError} as {@link restoreState} does.
 */
export async function restoreWeights(
  saved: SavedCheckpoint,
  config: GrpoConfig,
  options: RestoreOptions = {},
): Promise<{ weights: Params; run: RunState }> {
  checkSameRun(saved, config, options);
  const weights = await reader(saved, options.placement)(config.ema.enabled ? 'ema' : 'trained');
  const names = options.trainable ?? Object.keys(weights);
  return { weights: inOrder(saved.place, weights, names, options.shapes), run: saved.run };
}

const reader =
  (saved: SavedCheckpoint, placement: Placement = oneDevice) =>
  (part: string) =>
    saved.read(part, (whole, name) => {
      const placed = placement.parameters({ [name]: whole })[name]!;
      if (placed !== whole) whole.dispose();
      return placed;
    });

/** @throws {CheckpointStateError} naming what differs between a checkpoint's run and this one, and may not */
export function checkSameRun(
  saved: SavedCheckpoint,
  config: GrpoConfig,
  { setup = saved.setup, allowChanged }: Pick<RestoreOptions, 'setup' | 'allowChanged'>,
): void {
  const changed = changesOf(saved, { config, setup }, allowChanged);
  if (changed.length === 0) return;
  const list = changed.map(({ path, before, now }) => `${path}: ${inWords(before)} → ${inWords(now)}`);
  throw new CheckpointStateError(
    `${saved.place} was made with another configuration (${list.join(', ')}): set it back, start in another folder, or allow the changes by name: ${changed.map(allowing).join(' ')}`,
  );
}

const inWords = (value: unknown) => (value === undefined ? 'nothing' : JSON.stringify(value));

/** The command's flag; scripts have `allowChanged`. */
const allowing = ({ path }: Difference) => `--allow-changed ${path}`;

function inOrder(
  place: string,
  params: Params,
  names: readonly string[],
  shapes: RestoreOptions['shapes'] = {},
): Params {
  const known = new Set(names);
  const missing = names.filter((name) => !(name in params));
  const unknown = Object.keys(params).filter((name) => !known.has(name));
  if (missing.length > 0 || unknown.length > 0) {
    throw new CheckpointStateError(
      `${place} holds different weights from those that train now (${[...missing.map((name) => `no ${name}`), ...unknown].slice(0, 6).join(', ')}): train the same ones, or start in another folder`,
    );
  }
  const reshaped = names.filter((name) => shapes[name] && `${shapes[name]}` !== `${params[name]!.shape}`);
  if (reshaped.length > 0) {
    const list = reshaped.map((name) => `${name} is [${params[name]!.shape}], now [${shapes[name]}]`);
    throw new CheckpointStateError(
      `${place} holds weights of different shapes from those that train now (${list.slice(0, 6).join('; ')}): resume with the same model, or start in another folder`,
    );
  }
  return Object.fromEntries(names.map((name) => [name, params[name]!]));
}

/** { a: { w } } → { 'a.w' } */
const prefixed = (records: Readonly<Record<string, Params>>): Params =>
  Object.fromEntries(
    Object.entries(records).flatMap(([prefix, params]) =>
      Object.entries(params).map(([name, value]) => [`${prefix}.${name}`, value] as const),
    ),
  );

/** { 'a.w' } → { a: { w } }; only what is before the first dot is the prefix. */
function unprefixed(params: Params): Record<string, Params> {
  const records: Record<string, Params> = {};
  for (const [name, value] of Object.entries(params)) {
    const dot = name.indexOf('.');
    const prefix = name.slice(0, dot);
    records[prefix] = { ...records[prefix], [name.slice(dot + 1)]: value };
  }
  return records;
}
