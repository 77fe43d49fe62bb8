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

/** A container costs this many values. */
const CONTAINER = 16;
/** Values that a pickle may make: those of 32 MiB of floats. Python would take gigabytes for so many. */
const MAX_VALUES = 2 ** 22;

/** What a pickle may still cost: a few bytes of it, repeated, could otherwise fill any memory or take any time. */
export class Budget {
  private left = MAX_VALUES;

  /** Throws once the values are more than any reward needs. */
  spend(values = 1): void {
    this.left -= values;
    if (this.left < 0) throw new PickleError('the pickle makes more values than any reward needs');
  }

  container(): void {
    this.spend(CONTAINER);
  }

  /** Texts and bytes that are copied. */
  copy(length: number): void {
    this.spend(Math.ceil(length / 8));
  }
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

/** Throws when a value contains itself, nests too deeply or, with shared parts written out, is too large. */
export function checkNesting(root: unknown): void {
  const known = new Map<unknown, { height: number; size: number }>();
  const open = new Set<unknown>();
  const leaf = { height: 0, size: 1 };
  const visit = (value: unknown, depth: number): { height: number; size: number } => {
    if (typeof value !== 'object' || value === null) return leaf;
    if (open.has(value)) throw new PickleError('the pickle holds a value that contains itself');
    const before = known.get(value);
    if (depth + (before?.height ?? 0) > MAX_DEPTH)
      throw new PickleError(`the pickle nests deeper than ${MAX_DEPTH}`);
    if (before !== undefined) return before;
    open.add(value);
    let [height, size] = [0, 1];
    for (const child of children(value)) {
      const inner = visit(child, depth + 1);
      height = Math.max(height, 1 + inner.height);
      size += inner.size;
    }
    open.delete(value);
    // Readers of the result meet shared parts as often as they are named.
    if (size > MAX_VALUES) throw new PickleError('the pickle makes more values than any reward needs');
    known.set(value, { height, size });
    return { height, size };
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

  constructor(private readonly budget: Budget) {}

  /** The key under which `container` already knows this one, or the key itself. */
  canonical(container: object, key: unknown): unknown {
    const id = keyId(key);
    this.budget.copy(id.length);
    let keys = this.known.get(container);
    if (!keys) {
      keys = new Map();
      this.known.set(container, keys);
    }
    if (!keys.has(id)) keys.set(id, key);
    return keys.get(id);
  }
}
