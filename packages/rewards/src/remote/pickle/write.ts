import { FrameWriter } from './frames';
import { NdArray, PickleError, PyTuple } from './values';

/** Items between two marks, as in Python. */
const BATCH = 1000;

export interface PickleOptions {
  /**
   * Where numpy's array helpers live: `numpy.core` (numpy 1, the default; numpy 2 reads it too) or
   * `numpy._core` (numpy 2, read from 1.26 on). Only matters for arrays.
   */
  numpyCore?: 'numpy.core' | 'numpy._core';
}

/**
 * Writes plain data as a pickle of protocol 4, opcode for opcode as CPython's C pickler: null, booleans,
 * numbers (whole ones up to 2^53 as int, −0 and the rest as float), bigint, strings, Uint8Array (bytes), arrays
 * (list), {@link PyTuple}, plain objects and Map (dict) and one-dimensional {@link NdArray} of strings.
 * Objects that are the same are written once, keys of equal spelling once inside each dictionary of a list,
 * as when Python's json made it.
 *
 * @throws PickleError for other values, and for values that contain themselves
 */
export function pickle(value: unknown, options: PickleOptions = {}): Uint8Array {
  return new Pickler(options.numpyCore ?? 'numpy.core').run(value);
}

class Pickler {
  private readonly out = new FrameWriter();
  private readonly memo = new Map<unknown, number>();
  private memoSize = 0;
  private readonly open = new Set<unknown>();

  constructor(private readonly numpyCore: string) {}

  run(value: unknown): Uint8Array {
    this.save(value, new Map());
    this.out.opcode(0x2e);
    return this.out.finish();
  }

  private memoize(key?: unknown): undefined {
    this.out.opcode(0x94);
    if (key !== undefined) this.memo.set(key, this.memoSize);
    this.memoSize++;
  }

  private recall(index: number): undefined {
    if (index < 256) this.out.opcode(0x68, index);
    else this.out.word(0x6a, index);
  }

  /** @param keys numbers under which the keys of the document at hand are remembered */
  private save(value: unknown, keys: Map<string, number>): undefined {
    this.out.cut();
    this.saveValue(value, keys);
  }

  private saveValue(value: unknown, keys: Map<string, number>): undefined {
    if (value === null) return this.out.opcode(0x4e);
    if (typeof value === 'boolean') return this.out.opcode(value ? 0x88 : 0x89);
    if (typeof value === 'number') return this.number(value);
    if (typeof value === 'bigint') return this.long(value);
    if (typeof value === 'string') return this.text(value, isShared(value));
    if (typeof value !== 'object') throw new PickleError(`a ${typeof value} cannot be pickled`);
    const known = this.memo.get(value);
    if (known !== undefined && !this.open.has(value)) return this.recall(known);
    if (this.open.has(value)) throw new PickleError('a value that contains itself cannot be pickled');
    this.open.add(value);
    if (value instanceof Uint8Array) {
      this.out.blob(0x43, 0x42, value);
      this.memoize(value);
    } else if (Array.isArray(value)) this.list(value);
    else if (value instanceof PyTuple) this.tuple(value, keys);
    else if (value instanceof NdArray) this.array(value);
    else if (value instanceof Map) this.dict(value, [...value.entries()], keys);
    else if (Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null) {
      const entries = Object.entries(value).filter(([, item]) => item !== undefined);
      this.dict(value, entries, keys);
    } else throw new PickleError(`a ${value.constructor.name} cannot be pickled`);
    this.open.delete(value);
  }

  private number(value: number): undefined {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      const bytes = Buffer.alloc(9, 0x47);
      bytes.writeDoubleBE(value, 1);
      this.out.put(bytes);
    } else if (value >= 0 && value < 256) this.out.opcode(0x4b, value);
    else if (value >= 0 && value < 65536) this.out.opcode(0x4d, value & 255, value >> 8);
    else if (value === (value | 0)) this.out.word(0x4a, value);
    else this.long(BigInt(value));
  }

  private long(value: bigint): undefined {
    if (value >= -(2n ** 31n) && value < 2n ** 31n) return this.number(Number(value));
    let size = 5;
    while (BigInt.asIntN(8 * size, value) !== value) size++;
    if (size > 255) throw new PickleError('an integer of more than 255 bytes cannot be pickled');
    const digits = BigInt.asUintN(8 * size, value)
      .toString(16)
      .padStart(2 * size, '0');
    this.out.opcode(0x8a, size);
    this.out.put(Buffer.from(digits, 'hex').reverse());
  }

  private text(value: string, shared: boolean): undefined {
    const known = shared ? this.memo.get(value) : undefined;
    if (known !== undefined) return this.recall(known);
    this.out.blob(0x8c, 0x58, encodeUtf8(value));
    this.memoize(shared ? value : undefined);
  }

  private key(value: unknown, keys: Map<string, number>): undefined {
    if (typeof value !== 'string' || isShared(value)) return this.save(value, keys);
    this.out.cut();
    const known = keys.get(value);
    if (known !== undefined) return this.recall(known);
    keys.set(value, this.memoSize);
    this.text(value, false);
  }

  private list(items: unknown[]): undefined {
    this.out.opcode(0x5d);
    this.memoize(items);
    this.batches(items, 0x61, 0x65, (item) => this.save(item, this.documentKeys(item)));
  }

  /** A dictionary in a list starts a document of its own unless it lies in one already. */
  private documentKeys(item: unknown): Map<string, number> {
    if (this.document && item !== null && typeof item === 'object') return this.document;
    return new Map();
  }

  private document: Map<string, number> | undefined;

  private dict(value: object, entries: [unknown, unknown][], keys: Map<string, number>): undefined {
    const outer = this.document;
    // The outermost dictionary is the request; each dictionary listed in it was parsed on its own.
    if (!outer && this.open.size > 1) this.document = keys;
    this.out.opcode(0x7d);
    this.memoize(value);
    this.batches(entries, 0x73, 0x75, ([key, item]) => {
      this.key(key, keys);
      this.save(item, keys);
    });
    this.document = outer;
  }

  private batches<T>(items: readonly T[], one: number, many: number, save: (item: T) => void): undefined {
    if (items.length === 1) {
      save(items[0]!);
      this.out.opcode(one);
      return;
    }
    for (let at = 0; at < items.length; at += BATCH) {
      this.out.opcode(0x28);
      for (const item of items.slice(at, at + BATCH)) save(item);
      this.out.opcode(many);
    }
  }

  private tuple(value: PyTuple, keys: Map<string, number>): undefined {
    const { items } = value;
    if (items.length === 0) return this.out.opcode(0x29);
    if (items.length > 3) this.out.opcode(0x28);
    for (const item of items) this.save(item, keys);
    this.out.opcode(items.length > 3 ? 0x74 : 0x84 + items.length);
    this.memoize(value);
  }

  private global(module: string, name: string): undefined {
    const known = this.memo.get(`global ${module}.${name}`);
    if (known !== undefined) return this.recall(known);
    const place = this.memo.get(`module ${module}`);
    if (place !== undefined) this.recall(place);
    else {
      this.text(module, false);
      this.memo.set(`module ${module}`, this.memoSize - 1);
    }
    this.text(name, false);
    this.out.opcode(0x93);
    this.memoize(`global ${module}.${name}`);
  }

  /** `numpy.array([...])` of texts: fixed width, four bytes a character. */
  private array({ shape, values }: NdArray): undefined {
    if (shape.length !== 1 || !values.every((value) => typeof value === 'string')) {
      throw new PickleError('only one-dimensional arrays of text can be pickled');
    }
    const texts = values.map((value) => Array.from(value as string, (letter) => letter.codePointAt(0)!));
    const width = Math.max(1, ...texts.map((text) => text.length));
    const data = Buffer.alloc(4 * width * texts.length);
    texts.forEach((text, row) => {
      text.forEach((point, column) => {
        data.writeUInt32LE(point, 4 * (row * width + column));
      });
    });
    const none = new Map<string, number>();
    this.global(`${this.numpyCore}.multiarray`, '_reconstruct');
    this.global('numpy', 'ndarray');
    this.save(new PyTuple([0]), none);
    this.save(Buffer.from('b'), none);
    this.out.opcode(0x87);
    this.memoize();
    this.out.opcode(0x52);
    this.memoize();
    this.out.opcode(0x28);
    this.number(1);
    this.save(new PyTuple([texts.length]), none);
    this.global('numpy', 'dtype');
    this.text(`U${width}`, false);
    this.out.opcode(0x89, 0x88, 0x87);
    this.memoize();
    this.out.opcode(0x52);
    this.memoize();
    this.save(new PyTuple([3, '<', null, null, null, 4 * width, 4, 8]), none);
    this.out.opcode(0x62);
    this.out.opcode(0x89);
    this.save(data, none);
    this.out.opcode(0x74);
    this.memoize();
    this.out.opcode(0x62);
  }
}

/** CPython has one object for each text of at most one Latin-1 letter, wherever it occurs. */
const isShared = (text: string): boolean => text.length <= 1 && text <= '\u00ff';

/** UTF-8 with lone surrogates encoded like other characters, Python's surrogatepass. */
function encodeUtf8(text: string): Uint8Array {
  if (!/\p{Surrogate}/u.test(text)) return Buffer.from(text, 'utf8');
  return Buffer.concat(
    Array.from(text, (letter) => {
      const point = letter.codePointAt(0)!;
      if (point < 0xd800 || point > 0xdfff) return Buffer.from(letter, 'utf8');
      return Buffer.of(0xed, 0x80 | ((point >> 6) & 63), 0x80 | (point & 63));
    }),
  );
}
