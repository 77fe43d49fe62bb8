import { type Budget, NdArray, PickleError, PyTuple } from './values';

type Element = number | bigint | boolean | string;

/** What a pickle may name outside itself: a function to call, or a class that only serves as an argument. */
export type Allowed = {
  readonly name: string;
  readonly call?: (args: readonly unknown[], budget: Budget) => unknown;
};

/** A numpy data type while a pickle builds it. */
class DType {
  order = '|';
  constructor(readonly code: string) {}

  get size(): number {
    const count = Number(this.code.slice(1));
    return this.code.startsWith('U') ? 4 * count : count;
  }

  get full(): string {
    return (this.size === 1 ? '|' : this.order) + this.code;
  }
}

/** An array between its making and its state. */
class PendingArray {
  array: NdArray | undefined;
}

const refuse = (problem: string): never => {
  throw new PickleError(problem);
};

const PLAIN_DTYPE = /^(f[248]|[iu][1248]|b1|U\d{1,7})$/;
const NDARRAY: Allowed = { name: 'ndarray' };

function dtype([code]: readonly unknown[]): DType {
  if (typeof code !== 'string' || !PLAIN_DTYPE.test(code))
    refuse(`numpy type ${String(code)} is not allowed`);
  return new DType(code as string);
}

function scalar([type, bytes]: readonly unknown[], budget: Budget): Element {
  if (!(type instanceof DType) || !(bytes instanceof Uint8Array))
    return refuse('a numpy scalar is malformed');
  return elements(type, [], false, bytes, budget)[0]!;
}

function reconstruct([type]: readonly unknown[]): PendingArray {
  if (type !== NDARRAY) refuse('a numpy subclass is not allowed');
  return new PendingArray();
}

function fromBuffer([bytes, type, shape, order]: readonly unknown[], budget: Budget): NdArray {
  return makeArray(shape, type, order === 'F', bytes, budget);
}

/** Text to bytes in Latin-1: how bytes travel in pickles of protocol 0 to 2. */
function encode([text, codec]: readonly unknown[], budget: Budget): Uint8Array {
  if (typeof text === 'string') budget.copy(text.length);
  if (typeof text !== 'string' || codec !== 'latin1' || /[^\0-\u00ff]/.test(text)) {
    return refuse('a pickle may encode nothing but Latin-1');
  }
  return Buffer.from(text, 'latin1');
}

function listed(name: string, make: (items: readonly unknown[]) => unknown): Allowed {
  const call = ([items, ...rest]: readonly unknown[], budget: Budget): unknown => {
    if (Array.isArray(items)) budget.spend(items.length);
    if (rest.length > 0 || !(items === undefined || Array.isArray(items)))
      refuse(`${name} has unexpected arguments`);
    return make((items ?? []) as unknown[]);
  };
  return { name, call };
}

/** The whole list of names a pickle may use, each bound to a function of ours. */
const ALLOWED = new Map<string, Allowed>([
  ['_codecs.encode', { name: 'encode', call: encode }],
  ['numpy.ndarray', NDARRAY],
  ['numpy.dtype', { name: 'dtype', call: dtype }],
]);
for (const core of ['numpy.core', 'numpy._core']) {
  ALLOWED.set(`${core}.multiarray._reconstruct`, { name: '_reconstruct', call: reconstruct });
  ALLOWED.set(`${core}.multiarray.scalar`, { name: 'scalar', call: scalar });
  ALLOWED.set(`${core}.numeric._frombuffer`, { name: '_frombuffer', call: fromBuffer });
}
for (const builtins of ['builtins', '__builtin__']) {
  ALLOWED.set(
    `${builtins}.set`,
    listed('set', (items) => new Set(items)),
  );
  ALLOWED.set(
    `${builtins}.frozenset`,
    listed('frozenset', (items) => new Set(items)),
  );
  ALLOWED.set(`${builtins}.bytes`, {
    name: 'bytes',
    call: (args) => (args.length === 0 ? new Uint8Array() : refuse('bytes has unexpected arguments')),
  });
  ALLOWED.set(`${builtins}.bytearray`, {
    name: 'bytearray',
    call: ([bytes = new Uint8Array()]) =>
      bytes instanceof Uint8Array ? bytes : refuse('bytearray has unexpected arguments'),
  });
}

/** The allowed global of that name, or undefined. Dotted names never match: a module is compared whole. */
export function allowedGlobal(module: string, name: string): Allowed | undefined {
  return name.includes('.') ? undefined : ALLOWED.get(`${module}.${name}`);
}

/** Gives a numpy type or array its state, as BUILD asks. */
export function setState(target: unknown, state: unknown, budget: Budget): undefined {
  if (!(state instanceof PyTuple))
    return refuse('the pickle sets the state of an object, which is not allowed');
  if (target instanceof DType) {
    const [, order, subarray, names, fields] = state.items;
    if (
      typeof order !== 'string' ||
      !'<>|'.includes(order) ||
      subarray !== null ||
      names !== null ||
      fields !== null
    ) {
      return refuse('a numpy type is not plain');
    }
    target.order = order;
  } else if (target instanceof PendingArray && !target.array) {
    const [, shape, type, fortran, bytes] = state.items;
    target.array = makeArray(shape, type, fortran === true, bytes, budget);
  } else {
    refuse('the pickle sets the state of an object, which is not allowed');
  }
}

/** The array behind its placeholder; other values as they are. Throws for what must not leave the reader. */
export function settled(value: unknown): unknown {
  if (value instanceof PendingArray) return value.array ?? refuse('a numpy array was never filled');
  if (value instanceof DType) return refuse('a numpy type is not data');
  return value;
}

function makeArray(shape: unknown, type: unknown, fortran: boolean, bytes: unknown, budget: Budget): NdArray {
  if (!(shape instanceof PyTuple) || !(type instanceof DType) || !(bytes instanceof Uint8Array)) {
    return refuse('a numpy array is malformed');
  }
  const sizes = shape.items as number[];
  if (sizes.length > 32 || !sizes.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    return refuse('a numpy array has an impossible shape');
  }
  return new NdArray(type.full, sizes, elements(type, sizes, fortran, bytes, budget));
}

function elements(
  type: DType,
  shape: readonly number[],
  fortran: boolean,
  bytes: Uint8Array,
  budget: Budget,
): Element[] {
  const count = shape.reduce((product, size) => product * size, 1);
  if (count * type.size !== bytes.length) {
    return refuse(`a numpy array of ${count} × ${type.size} bytes holds ${bytes.length} bytes`);
  }
  // Elements of no size cost no bytes, and an array may be made of the same bytes again and again.
  budget.spend(type.code.startsWith('U') ? 16 * count : count);
  budget.copy(bytes.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stored = Array.from({ length: count }, (_, i) => element(type, view, i * type.size));
  if (!fortran || shape.length < 2) return stored;
  return stored.map((_, row) => {
    let rest = row;
    const index = shape.map(() => 0);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis] = rest % shape[axis]!;
      rest = Math.floor(rest / shape[axis]!);
    }
    return stored[index.reduceRight((offset, at, axis) => offset * shape[axis]! + at, 0)]!;
  });
}

function element(type: DType, view: DataView, at: number): Element {
  const little = type.order !== '>';
  const wide = (value: bigint) =>
    BigInt.asIntN(53, value) === value || (value < 2n ** 53n && value >= 0n) ? Number(value) : value;
  switch (type.code) {
    case 'f8':
      return view.getFloat64(at, little);
    case 'f4':
      return view.getFloat32(at, little);
    case 'f2':
      return half(view.getUint16(at, little));
    case 'i8':
      return wide(view.getBigInt64(at, little));
    case 'u8':
      return wide(view.getBigUint64(at, little));
    case 'i4':
      return view.getInt32(at, little);
    case 'u4':
      return view.getUint32(at, little);
    case 'i2':
      return view.getInt16(at, little);
    case 'u2':
      return view.getUint16(at, little);
    case 'i1':
      return view.getInt8(at);
    case 'u1':
      return view.getUint8(at);
    case 'b1':
      return view.getUint8(at) !== 0;
    default: {
      const points = Array.from({ length: type.size / 4 }, (_, i) => view.getUint32(at + 4 * i, little));
      while (points.at(-1) === 0) points.pop();
      if (points.some((point) => point > 0x10ffff)) return refuse('a numpy text is not Unicode');
      return points.map((point) => String.fromCodePoint(point)).join('');
    }
  }
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
