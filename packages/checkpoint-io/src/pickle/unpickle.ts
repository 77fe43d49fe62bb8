import { COST, PickleBudget } from './budget';
import { PickleReader } from './reader';
import { PickleStack } from './stack';
import { PickleForeign, type PickleGlobal, type PickleHost, PickleTuple } from './values';

export interface UnpickleOptions {
  /** What errors call the bytes. */
  readonly name?: string;
  /** Where the pickle starts in `bytes`. */
  readonly start?: number;
  /** Offset of `bytes[0]` in the file. */
  readonly base?: number;
  /** Size of the whole file, for the memory bound; the bytes' length by default. */
  readonly fileBytes?: number;
}

export interface Unpickled {
  readonly value: unknown;
  /** Position in `bytes` behind the pickle. */
  readonly end: number;
}

/** Larger integers than this many bytes serve no tensor, and converting them is slow. */
const MAX_LONG_BYTES = 1024;

/**
 * Reads one pickle of protocols 2 to 5. It can build numbers, strings, bytes (Uint8Array), lists (arrays),
 * {@link PickleTuple}, dictionaries (Map) and sets, and whatever the host's allow-listed globals return, and
 * {@link PickleForeign} where the host lets an unknown global stand for itself; nothing is imported, looked up or run. Opcodes outside that are refused. Throws a {@link CheckpointError}
 * with the offset of the opcode's end.
 */
export function readPickle(bytes: Uint8Array, host: PickleHost, options: UnpickleOptions = {}): Unpickled {
  const reader: PickleReader = new PickleReader(options.name ?? 'pickle', bytes, options.base, options.start);
  const stack = new PickleStack(reader, new PickleBudget(options.fileBytes ?? bytes.length));
  const globals = new Set<PickleGlobal>();

  const find = (module: string, name: string): void => {
    const found = host.global(module, name);
    if (!found) {
      const full = `${clip(module)}.${clip(name)}`;
      if (!host.foreign?.(module, name)) reader.fail(`the pickle names ${full}, which is not allowed`);
      stack.spend(COST.map);
      stack.push(new PickleForeign(full, reader.offset));
      return;
    }
    globals.add(found);
    stack.push(found);
  };
  const call = (target: unknown, args: unknown): void => {
    if (target instanceof PickleForeign) {
      stack.spend(COST.map);
      stack.push(new PickleForeign(target.name, target.offset, [args]));
      return;
    }
    const callee = globals.has(target as PickleGlobal) ? (target as PickleGlobal).call : undefined;
    if (!callee || !(args instanceof PickleTuple)) reader.fail('the pickle calls what cannot be called');
    stack.spend(COST.map);
    stack.push(guarded(reader, () => callee(args.items)));
  };
  const build = (object: unknown, state: unknown): void => {
    // state_dict() hangs its _metadata on the ordered dictionary; it says nothing about tensors.
    if (object instanceof Map && (state instanceof Map || state === null)) return;
    if (object instanceof PickleForeign) {
      stack.spend(COST.slot);
      object.parts.push(state);
      return;
    }
    const builder = host.build;
    if (!builder) reader.fail('the pickle sets the state of an object, which is not allowed');
    guarded(reader, () => builder(object, state));
  };
  const text = (length: number): void => {
    const value = reader.text(length);
    stack.spend(2 * length);
    stack.push(value);
  };
  const binary = (length: number): void => {
    stack.push(reader.slice(length));
  };
  const container = (value: unknown, bytesEach: number): void => {
    stack.spend(bytesEach);
    stack.push(value);
  };
  const list = (): unknown[] => {
    const target = stack.top();
    if (target instanceof PickleForeign) return target.parts;
    if (!Array.isArray(target)) reader.fail('the pickle appends to what is not a list');
    return target as unknown[];
  };
  const setItems = (target: unknown, items: readonly unknown[]): void => {
    if (target instanceof PickleForeign) {
      append(target.parts, items);
      return;
    }
    if (!(target instanceof Map) || items.length % 2 !== 0)
      reader.fail('the pickle fills something that is not a dictionary');
    stack.spend((COST.entry * items.length) / 2);
    for (let i = 0; i < items.length; i += 2) target.set(items[i], items[i + 1]);
  };
  const append = (target: unknown[], items: readonly unknown[]): void => {
    stack.spend(COST.slot * items.length);
    for (const item of items) target.push(item);
  };
  const tuple = (items: readonly unknown[]): void => container(new PickleTuple(items), COST.container);
  const long = (length: number): void => {
    if (length > MAX_LONG_BYTES) reader.fail(`an integer of ${length} bytes is not supported`);
    stack.push(longOf(reader.slice(length)));
  };

  for (;;) {
    const opcode = reader.u8();
    switch (opcode) {
      case 0x80: {
        const protocol = reader.u8();
        if (protocol < 2 || protocol > 5) reader.fail(`pickle protocol ${protocol} is not supported`);
        break;
      }
      case 0x95: // FRAME: its length only helps readers that buffer
        reader.u64();
        break;
      case 0x2e: // STOP
        return { value: stack.finish(), end: reader.position };
      case 0x28: // MARK
        stack.mark();
        break;
      case 0x30: // POP
        stack.pop();
        break;
      case 0x31: // POP_MARK
        stack.popMark();
        break;
      case 0x32: // DUP
        stack.push(stack.top());
        break;
      case 0x4e: // NONE
        stack.push(null);
        break;
      case 0x88: // NEWTRUE
        stack.push(true);
        break;
      case 0x89: // NEWFALSE
        stack.push(false);
        break;
      case 0x4a: // BININT
        stack.push(reader.i32());
        break;
      case 0x4b: // BININT1
        stack.push(reader.u8());
        break;
      case 0x4d: // BININT2
        stack.push(reader.u16());
        break;
      case 0x49: // INT: what Python 2 writes of numbers beyond 32 bits, in protocol 2 too
        stack.push(decimalOf(reader));
        break;
      case 0x8a: // LONG1
        long(reader.u8());
        break;
      case 0x8b: // LONG4
        long(reader.u32());
        break;
      case 0x47: // BINFLOAT
        stack.push(reader.f64());
        break;
      case 0x58: // BINUNICODE
        text(reader.u32());
        break;
      case 0x8c: // SHORT_BINUNICODE
        text(reader.u8());
        break;
      case 0x8d: // BINUNICODE8
        text(reader.u64());
        break;
      case 0x54: // BINSTRING: Python 2 text
        text(reader.u32());
        break;
      case 0x55: // SHORT_BINSTRING
        text(reader.u8());
        break;
      case 0x42: // BINBYTES
        binary(reader.u32());
        break;
      case 0x43: // SHORT_BINBYTES
        binary(reader.u8());
        break;
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        binary(reader.u64());
        break;
      case 0x5d: // EMPTY_LIST
        container([], COST.container);
        break;
      case 0x61: {
        // APPEND
        const item = stack.pop();
        append(list(), [item]);
        break;
      }
      case 0x65: {
        // APPENDS
        const items = stack.popMark();
        append(list(), items);
        break;
      }
      case 0x6c: // LIST
        stack.push(stack.popMark());
        break;
      case 0x29: // EMPTY_TUPLE
        tuple([]);
        break;
      case 0x74: // TUPLE
        tuple(stack.popMark());
        break;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        tuple(stack.popMany(opcode - 0x84));
        break;
      case 0x7d: // EMPTY_DICT
        container(new Map(), COST.map);
        break;
      case 0x64: {
        // DICT
        const items = stack.popMark();
        container(new Map(), COST.map);
        setItems(stack.top(), items);
        break;
      }
      case 0x73: {
        // SETITEM
        const pair = stack.popMany(2);
        setItems(stack.top(), pair);
        break;
      }
      case 0x75: {
        // SETITEMS
        const items = stack.popMark();
        setItems(stack.top(), items);
        break;
      }
      case 0x8f: // EMPTY_SET
        container(new Set(), COST.map);
        break;
      case 0x90: {
        // ADDITEMS
        const items = stack.popMark();
        const target = stack.top();
        if (target instanceof PickleForeign) {
          append(target.parts, items);
          break;
        }
        if (!(target instanceof Set)) reader.fail('the pickle adds to what is not a set');
        stack.spend(COST.entry * items.length);
        for (const item of items) (target as Set<unknown>).add(item);
        break;
      }
      case 0x91: {
        // FROZENSET
        const items = stack.popMark();
        container(new Set(items), COST.map + COST.entry * items.length);
        break;
      }
      case 0x71: // BINPUT
        stack.store(reader.u8());
        break;
      case 0x72: // LONG_BINPUT
        stack.store(reader.u32());
        break;
      case 0x94: // MEMOIZE
        stack.memoize();
        break;
      case 0x68: // BINGET
        stack.recall(reader.u8());
        break;
      case 0x6a: // LONG_BINGET
        stack.recall(reader.u32());
        break;
      case 0x63: // GLOBAL
        find(reader.line(), reader.line());
        break;
      case 0x93: {
        // STACK_GLOBAL
        const [module, name] = stack.popMany(2);
        if (typeof module !== 'string' || typeof name !== 'string')
          reader.fail('the pickle names a global without strings');
        find(module as string, name as string);
        break;
      }
      case 0x52: // REDUCE
      case 0x81: {
        // NEWOBJ
        const [target, args] = stack.popMany(2);
        call(target, args);
        break;
      }
      case 0x92: {
        // NEWOBJ_EX: arguments by name serve no tensor
        const [target, args, byName] = stack.popMany(3);
        if (!(target instanceof PickleForeign))
          reader.fail('the pickle makes an object with named arguments');
        call(target, new PickleTuple([args, byName]));
        break;
      }
      case 0x62: {
        // BUILD
        const state = stack.pop();
        build(stack.top(), state);
        break;
      }
      case 0x51: {
        // BINPERSID
        const { persistent } = host;
        if (!persistent) reader.fail('the pickle has a persistent id, which means nothing here');
        const id = stack.pop();
        stack.spend(COST.map);
        stack.push(guarded(reader, () => persistent(id)));
        break;
      }
      default:
        reader.fail(`pickle opcode 0x${opcode.toString(16).padStart(2, '0')} is not supported`);
    }
  }
}

/** Runs host code; its TypeErrors say what is wrong with the arguments and get the place here. */
function guarded<T>(reader: PickleReader, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof TypeError) reader.fail(error.message);
    throw error;
  }
}

/** A little-endian two's complement integer. */
function longOf(bytes: Uint8Array): number | bigint {
  if (bytes.length === 0) return 0;
  const digits = Buffer.from(bytes).reverse().toString('hex');
  return asNumber(BigInt.asIntN(8 * bytes.length, BigInt(`0x${digits}`)));
}

/** A line with an integer; 00 and 01 are false and true. */
function decimalOf(reader: PickleReader): number | bigint | boolean {
  const text = reader.line();
  if (text === '00' || text === '01') return text === '01';
  if (!/^-?\d{1,40}$/.test(text)) reader.fail(`${JSON.stringify(clip(text))} is not an integer`);
  return asNumber(BigInt(text));
}

/** A number where that is exact. */
const asNumber = (value: bigint): number | bigint =>
  value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;

const clip = (text: string): string => (text.length > 60 ? `${text.slice(0, 60)}…` : text);
