import { CheckpointError } from '../errors';
import { type PickleForeign, PickleTuple } from '../pickle/index';
import { findForeign, foreignWithTensors } from './foreign';
import { TorchTensor, UnsupportedTensor } from './storage';
import { TorchConstant } from './values';

export interface StateDict {
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** Plain values that are not part of it: epochs, options. */
  readonly metadata: Record<string, unknown>;
}

/** Nesting beyond this is no checkpoint, and may be a loop. */
const MAX_DEPTH = 16;

/**
 * Finds the tensors in an unpickled object. With `path`, those of the dictionary there; without, a level that
 * holds no tensor itself is entered as long as exactly one of its entries holds any. Names inside are joined
 * with dots. Objects of foreign classes are left out where they hold no tensor or stand outside of that dictionary. Throws
 * a {@link CheckpointError} when there are no tensors, or when one of them is of a kind or class that is not read.
 */
export function findStateDict(file: string, root: unknown, path?: readonly string[]): StateDict {
  const metadata: Record<string, unknown> = {};
  const note = (level: Map<unknown, unknown>, entered?: unknown) => {
    for (const [key, value] of level) {
      if (key === entered || typeof key !== 'string' || key === '__proto__') continue;
      const copy = plain(value);
      if (copy !== undefined) metadata[key] = copy;
    }
  };
  let level = root;
  for (const key of path ?? []) {
    if (!(level instanceof Map) || !level.has(key))
      throw new CheckpointError(file, `has nothing at ${path!.join('.')}`);
    note(level, key);
    level = level.get(key);
  }
  const holds = tensorFinder();
  for (let depth = 0; !path && level instanceof Map && depth < MAX_DEPTH; depth++) {
    const values = [...level.entries()];
    if (values.some(([, value]) => isTensor(value))) break;
    const holding = values.filter(([, value]) => holds(value));
    if (holding.length !== 1) break;
    note(level, holding[0]![0]);
    level = holding[0]![1];
  }
  const tensors = new Map<string, TorchTensor>();
  if (level instanceof Map) {
    note(level);
    collect(file, level, '', tensors, 0);
  }
  if (tensors.size === 0) throw nothingFound(file, root);
  return { tensors, metadata };
}

function collect(
  file: string,
  level: Map<unknown, unknown>,
  prefix: string,
  into: Map<string, TorchTensor>,
  depth: number,
): void {
  if (depth > MAX_DEPTH) throw new CheckpointError(file, 'nests dictionaries too deeply');
  for (const [key, value] of level) {
    if (typeof key !== 'string' && typeof key !== 'number') continue;
    const name = `${prefix}${key}`;
    if (value instanceof TorchTensor) {
      if (into.has(name)) throw new CheckpointError(file, `has two tensors named ${name}`);
      into.set(name, value);
    } else if (value instanceof UnsupportedTensor) {
      throw new CheckpointError(file, `${name} is ${value.what}, which is not supported`);
    } else if (foreignWithTensors(value)) {
      const { name: type, offset } = value as PickleForeign;
      throw new CheckpointError(
        file,
        `${name} holds tensors in a ${type}, which is not read; save its state_dict(), or name another part with 'root'`,
        offset,
      );
    } else if (value instanceof Map) {
      collect(file, value, `${name}.`, into, depth + 1);
    }
  }
}

const isTensor = (value: unknown) => value instanceof TorchTensor || value instanceof UnsupportedTensor;

/** Why there are no tensors: the classes that would have to be run to have them, where there are some. */
function nothingFound(file: string, root: unknown): CheckpointError {
  const foreign = findForeign(root);
  const [first] = foreign;
  if (first === undefined) return new CheckpointError(file, 'holds no tensors in dictionaries');
  const names = [...new Set(foreign.map(({ name }) => name))].slice(0, 5);
  return new CheckpointError(
    file,
    `holds no tensors in dictionaries, but objects of ${names.join(', ')}, which are not run; load the file in Python and save a state_dict()`,
    first.offset,
  );
}

/** Whether a value holds tensors, each dictionary looked at once: shared and looping ones cost nothing. */
function tensorFinder(): (value: unknown) => boolean {
  const seen = new Map<unknown, boolean>();
  const holds = (value: unknown, depth: number): boolean => {
    if (isTensor(value)) return true;
    if (!(value instanceof Map) || depth > MAX_DEPTH) return false;
    const known = seen.get(value);
    if (known !== undefined) return known;
    seen.set(value, false);
    const answer = [...value.values()].some((inner) => holds(inner, depth + 1));
    seen.set(value, answer);
    return answer;
  };
  return (value) => holds(value, 0);
}

/** How much of the plain values is copied: they are a courtesy, and references may multiply. */
const MAX_PLAIN_VALUES = 10_000;

/** A value as plain JavaScript (sets as lists, dtypes and devices by name); undefined where it holds something else. */
function plain(root: unknown): unknown {
  let left = MAX_PLAIN_VALUES;
  const copy = (value: unknown, depth: number): unknown => {
    if (--left < 0 || depth > MAX_DEPTH) return undefined;
    if (value === null || ['string', 'number', 'boolean', 'bigint'].includes(typeof value)) return value;
    if (value instanceof TorchConstant) return value.text;
    if (value instanceof Uint8Array) return value.slice();
    if (value instanceof PickleTuple || value instanceof Set || Array.isArray(value)) {
      const items = [...(value instanceof PickleTuple ? value.items : value)].map((item) =>
        copy(item, depth + 1),
      );
      return items.includes(undefined) ? undefined : items;
    }
    if (!(value instanceof Map)) return undefined;
    const entries = [...value].map(([key, item]) => [String(key), copy(item, depth + 1)] as const);
    return entries.some(([, item]) => item === undefined) ? undefined : Object.fromEntries(entries);
  };
  return copy(root, 0);
}
