import { Cursor, decimal, float, rawUnicodeEscape } from './cursor';
import { type Allowed, allowedGlobal, setState, settled } from './numpy';
import { checkNesting, KeyIndex, PickleError, PyTuple } from './values';

/**
 * Reads a pickle of protocol 0 to 5 that holds plain data: None (null), bool, int (bigint beyond 2^53),
 * float, str, bytes and bytearray (Uint8Array), list, tuple ({@link PyTuple}), dict (Map, insertion order),
 * set and frozenset (Set), numpy scalars (as plain values) and arrays ({@link NdArray}). Nothing is
 * imported, looked up or run: every other global, opcode, persistent id or state is refused, as are values
 * that contain themselves and bytes behind the end.
 *
 * @throws PickleError
 */
export function unpickle(bytes: Uint8Array): unknown {
  const value = new Unpickler(bytes).run();
  checkNesting(value);
  return value;
}

class Unpickler {
  private readonly cursor: Cursor;
  private stack: unknown[] = [];
  private readonly marks: unknown[][] = [];
  private readonly memo = new Map<number, unknown>();
  private readonly globals = new Set<unknown>();
  private readonly keys = new KeyIndex();

  constructor(bytes: Uint8Array) {
    this.cursor = new Cursor(bytes);
  }

  run(): unknown {
    for (;;) {
      const opcode = this.cursor.u8();
      if (opcode === 0x2e) return this.finish();
      if (!(this.atom(opcode) || this.container(opcode) || this.bookkeeping(opcode) || this.object(opcode))) {
        throw new PickleError(
          `pickle opcode 0x${opcode.toString(16).padStart(2, '0')} at byte ${this.cursor.position - 1} is not allowed`,
        );
      }
    }
  }

  private finish(): unknown {
    const value = this.data(this.pop());
    if (this.stack.length > 0 || this.marks.length > 0)
      throw new PickleError('the pickle leaves values behind');
    if (this.cursor.left > 0) throw new PickleError(`${this.cursor.left} bytes follow the pickle`);
    return value;
  }

  private pop(): unknown {
    if (this.stack.length === 0) throw new PickleError('the pickle takes from an empty stack');
    return this.stack.pop();
  }

  private top(): unknown {
    if (this.stack.length === 0) throw new PickleError('the pickle looks at an empty stack');
    return this.stack.at(-1);
  }

  private popMark(): unknown[] {
    const before = this.marks.pop();
    if (!before) throw new PickleError('the pickle looks for a mark that is not there');
    const items = this.stack;
    this.stack = before;
    return items;
  }

  /** A value that may stand in the result: numpy's placeholders resolved, globals refused. */
  private data(value: unknown): unknown {
    if (this.globals.has(value)) throw new PickleError('the pickle uses a global as data');
    return settled(value);
  }

  /** Numbers, texts and bytes. */
  private atom(opcode: number): boolean {
    const { cursor, stack } = this;
    switch (opcode) {
      case 0x4e: // NONE
        stack.push(null);
        return true;
      case 0x88: // NEWTRUE
      case 0x89: // NEWFALSE
        stack.push(opcode === 0x88);
        return true;
      case 0x49: {
        // INT, and the booleans of protocol 0
        const text = cursor.line();
        stack.push(text === '01' ? true : text === '00' ? false : decimal(text));
        return true;
      }
      case 0x4c: // LONG
        stack.push(decimal(cursor.line().replace(/L$/, '')));
        return true;
      case 0x46: // FLOAT
        stack.push(float(cursor.line()));
        return true;
      case 0x56: // UNICODE
        stack.push(rawUnicodeEscape(cursor.line()));
        return true;
      case 0x4a: // BININT
        stack.push(cursor.i32());
        return true;
      case 0x4b: // BININT1
        stack.push(cursor.u8());
        return true;
      case 0x4d: // BININT2
        stack.push(cursor.u16());
        return true;
      case 0x8a: // LONG1
        stack.push(cursor.long(cursor.u8()));
        return true;
      case 0x8b: // LONG4
        stack.push(cursor.long(cursor.u32()));
        return true;
      case 0x47: // BINFLOAT
        stack.push(cursor.f64());
        return true;
      case 0x8c: // SHORT_BINUNICODE
        stack.push(cursor.utf8(cursor.u8()));
        return true;
      case 0x58: // BINUNICODE
        stack.push(cursor.utf8(cursor.u32()));
        return true;
      case 0x8d: // BINUNICODE8
        stack.push(cursor.utf8(cursor.u64()));
        return true;
      case 0x43: // SHORT_BINBYTES
        stack.push(cursor.copy(cursor.u8()));
        return true;
      case 0x42: // BINBYTES
        stack.push(cursor.copy(cursor.u32()));
        return true;
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        stack.push(cursor.copy(cursor.u64()));
        return true;
      default:
        return false;
    }
  }

  /** Lists, tuples, dictionaries and sets. */
  private container(opcode: number): boolean {
    switch (opcode) {
      case 0x5d: // EMPTY_LIST
        this.stack.push([]);
        return true;
      case 0x6c: {
        // LIST
        const items = this.popMark();
        this.stack.push(this.append([], items));
        return true;
      }
      case 0x61: {
        // APPEND
        const item = this.pop();
        this.append(this.top(), [item]);
        return true;
      }
      case 0x65: {
        // APPENDS
        const items = this.popMark();
        this.append(this.top(), items);
        return true;
      }
      case 0x29: // EMPTY_TUPLE
        this.stack.push(new PyTuple([]));
        return true;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: {
        // TUPLE3
        const items = Array.from({ length: opcode - 0x84 }, () => this.pop()).reverse();
        this.stack.push(new PyTuple(items));
        return true;
      }
      case 0x74: {
        // TUPLE
        const items = this.popMark();
        this.stack.push(new PyTuple(items));
        return true;
      }
      case 0x7d: // EMPTY_DICT
        this.stack.push(new Map());
        return true;
      case 0x64: {
        // DICT
        const items = this.popMark();
        this.stack.push(this.setItems(new Map(), items));
        return true;
      }
      case 0x73: {
        // SETITEM
        const value = this.pop();
        const key = this.pop();
        this.setItems(this.top(), [key, value]);
        return true;
      }
      case 0x75: {
        // SETITEMS
        const items = this.popMark();
        this.setItems(this.top(), items);
        return true;
      }
      case 0x8f: // EMPTY_SET
        this.stack.push(new Set());
        return true;
      case 0x90: {
        // ADDITEMS
        const items = this.popMark();
        this.addItems(this.top(), items);
        return true;
      }
      case 0x91: {
        // FROZENSET
        const items = this.popMark();
        this.stack.push(this.addItems(new Set(), items));
        return true;
      }
      default:
        return false;
    }
  }

  private append(list: unknown, items: readonly unknown[]): unknown {
    if (!Array.isArray(list)) throw new PickleError('the pickle appends to what is not a list');
    for (const item of items) list.push(this.data(item));
    return list;
  }

  private setItems(dict: unknown, items: readonly unknown[]): unknown {
    if (!(dict instanceof Map) || items.length % 2 !== 0) {
      throw new PickleError('the pickle fills what is no dictionary, or with half a pair');
    }
    for (let i = 0; i < items.length; i += 2) {
      dict.set(this.keys.canonical(dict, items[i]), this.data(items[i + 1]));
    }
    return dict;
  }

  private addItems(set: unknown, items: readonly unknown[]): unknown {
    if (!(set instanceof Set)) throw new PickleError('the pickle adds to what is not a set');
    for (const item of items) set.add(this.keys.canonical(set, item));
    return set;
  }

  /** Marks, the memo, frames. */
  private bookkeeping(opcode: number): boolean {
    const { cursor } = this;
    switch (opcode) {
      case 0x80: {
        // PROTO
        const protocol = cursor.u8();
        if (protocol > 5) throw new PickleError(`pickle protocol ${protocol} is not known`);
        return true;
      }
      case 0x95: {
        // FRAME: only the length matters here
        const length = cursor.u64();
        if (length > cursor.left) throw new PickleError('a frame is longer than the pickle');
        return true;
      }
      case 0x28: // MARK
        this.marks.push(this.stack);
        this.stack = [];
        return true;
      case 0x30: // POP
        this.pop();
        return true;
      case 0x31: // POP_MARK
        this.popMark();
        return true;
      case 0x32: // DUP
        this.stack.push(this.top());
        return true;
      case 0x70: // PUT
        this.store(decimal(cursor.line()));
        return true;
      case 0x71: // BINPUT
        this.store(cursor.u8());
        return true;
      case 0x72: // LONG_BINPUT
        this.store(cursor.u32());
        return true;
      case 0x94: // MEMOIZE
        this.store(this.memo.size);
        return true;
      case 0x67: // GET
        this.recall(decimal(cursor.line()));
        return true;
      case 0x68: // BINGET
        this.recall(cursor.u8());
        return true;
      case 0x6a: // LONG_BINGET
        this.recall(cursor.u32());
        return true;
      default:
        return false;
    }
  }

  private store(index: number | bigint): void {
    if (typeof index === 'bigint' || index < 0 || index > this.cursor.length) {
      throw new PickleError(`the pickle stores under the impossible number ${index}`);
    }
    this.memo.set(index, this.top());
  }

  private recall(index: number | bigint): void {
    if (typeof index === 'bigint' || !this.memo.has(index)) {
      throw new PickleError(`the pickle recalls ${index}, which it has not stored`);
    }
    this.stack.push(this.memo.get(index));
  }

  /** Globals of the list, calls of them, and states of numpy's objects. */
  private object(opcode: number): boolean {
    switch (opcode) {
      case 0x63: // GLOBAL
        this.find(this.cursor.line(), this.cursor.line());
        return true;
      case 0x93: {
        // STACK_GLOBAL
        const name = this.pop();
        this.find(this.pop(), name);
        return true;
      }
      case 0x52: {
        // REDUCE
        const args = this.pop();
        const target = this.pop();
        const call = this.globals.has(target) ? (target as Allowed).call : undefined;
        if (!call || !(args instanceof PyTuple))
          throw new PickleError('the pickle calls what it may not call');
        this.stack.push(call(args.items));
        return true;
      }
      case 0x62: {
        // BUILD
        const state = this.pop();
        setState(this.top(), state);
        return true;
      }
      default:
        return false;
    }
  }

  private find(module: unknown, name: unknown): void {
    const found =
      typeof module === 'string' && typeof name === 'string' ? allowedGlobal(module, name) : undefined;
    if (!found) {
      throw new PickleError(`the pickle names ${`${module}.${name}`.slice(0, 80)}, which is not allowed`);
    }
    this.globals.add(found);
    this.stack.push(found);
  }
}
