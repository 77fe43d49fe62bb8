/** Bytes that are no pickle, or a pickle of more than plain data. */
export class PickleError extends Error {
  override readonly name = 'PickleError';
}

/** A Python tuple. */
export class PyTuple {
  constructor(readonly items: readonly unknown[]) {}
}

/** A numpy array: `values` in row-major order, whatever order it was stored in. */
export class NdArray {
  constructor(
    /** numpy's own name, such as `<f8` or `<U21`. */
    readonly dtype: string,
    readonly shape: readonly number[],
    readonly values: readonly (number | bigint | boolean | string)[],
  ) {}
}

/** Deeper nesting serves no reward, and recursive readers of the result would run out of stack. */
const MAX_DEPTH = 200;

/** What `value` holds. */
function children(value: unknown): Iterable<unknown> {
  if (Array.isArray(value)) return value;
  if (value instanceof PyTuple) return value.items;
  if (value instanceof Set) return value;
  if (value instanceof Map) return [...value.keys(), ...value.values()];
  return [];
}

/** Throws when a value contains itself or nests too deeply; shared parts are visited once. */
export function checkNesting(root: unknown): void {
  const heights = new Map<unknown, number>();
  const open = new Set<unknown>();
  const visit = (value: unknown, depth: number): number => {
    if (typeof value !== 'object' || value === null) return 0;
    if (open.has(value)) throw new PickleError('the pickle holds a value that contains itself');
    const known = heights.get(value);
    if (depth + (known ?? 0) > MAX_DEPTH) throw new PickleError(`the pickle nests deeper than ${MAX_DEPTH}`);
    if (known !== undefined) return known;
    open.add(value);
    let height = 0;
    for (const child of children(value)) height = Math.max(height, 1 + visit(child, depth + 1));
    open.delete(value);
    heights.set(value, height);
    return height;
  };
  visit(root, 0);
}

/** Values in a key that is a tuple; larger ones are somebody's attempt to keep us busy. */
const MAX_KEY_PARTS = 1000;

/**
 * A text that equal Python keys share: 1, 1.0 and True are one key, 1 and "1" are two. Throws for what Python
 * cannot hash.
 */
export function keyId(key: unknown): string {
  let parts = 0;
  const id = (value: unknown): string => {
    if (++parts > MAX_KEY_PARTS) throw new PickleError('a key of the pickle is too large');
    if (value === null) return 'n';
    if (typeof value === 'string') return `s${value.length}:${value}`;
    if (typeof value === 'boolean') return `i${Number(value)}`;
    if (typeof value === 'number' || typeof value === 'bigint') return `i${value === 0 ? 0 : value}`;
    if (value instanceof Uint8Array) return `b${Buffer.from(value).toString('hex')}`;
    if (value instanceof PyTuple) return `t${value.items.length}(${value.items.map(id).join()})`;
    throw new PickleError('a key of the pickle is not hashable');
  };
  return id(key);
}

/** Sets entries as Python does: an equal key keeps its first spelling and takes the new value. */
export class KeyIndex {
  private readonly known = new WeakMap<object, Map<string, unknown>>();

  /** The key under which `container` already knows this one, or the key itself. */
  canonical(container: object, key: unknown): unknown {
    const id = keyId(key);
    let keys = this.known.get(container);
    if (!keys) {
      keys = new Map();
      this.known.set(container, keys);
    }
    if (!keys.has(id)) keys.set(id, key);
    return keys.get(id);
  }
}
