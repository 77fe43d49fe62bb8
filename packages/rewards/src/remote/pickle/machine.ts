import { Cursor } from './cursor';
import { type Allowed, allowedGlobal, settled } from './numpy';
import { Budget, KeyIndex, PickleError, PyTuple } from './values';

/** What a pickle's opcodes work on: a stack with marks, a memo, and the globals it may name. */
export class Machine {
  readonly cursor: Cursor;
  private stack: unknown[] = [];
  private readonly marks: unknown[][] = [];
  private readonly memo = new Map<number, unknown>();
  private readonly globals = new Set<unknown>();
  readonly budget = new Budget();
  private readonly keys = new KeyIndex(this.budget);

  constructor(bytes: Uint8Array) {
    this.cursor = new Cursor(bytes);
  }

  push(value: unknown): void {
    this.budget.spend();
    if (typeof value === 'object' && value !== null) this.budget.container();
    this.stack.push(value);
  }

  pop(): unknown {
    if (this.stack.length === 0) throw new PickleError('the pickle takes from an empty stack');
    return this.stack.pop();
  }

  top(): unknown {
    if (this.stack.length === 0) throw new PickleError('the pickle looks at an empty stack');
    return this.stack.at(-1);
  }

  mark(): void {
    this.budget.container();
    this.marks.push(this.stack);
    this.stack = [];
  }

  /** What was pushed since the last mark, which goes. */
  popMark(): unknown[] {
    const before = this.marks.pop();
    if (!before) throw new PickleError('the pickle looks for a mark that is not there');
    const items = this.stack;
    this.stack = before;
    return items;
  }

  /** Keeps the top of the stack under a number; by default the next one. */
  store(index: number | bigint = this.memo.size): void {
    if (typeof index === 'bigint' || index < 0 || index > this.cursor.length) {
      throw new PickleError(`the pickle stores under the impossible number ${index}`);
    }
    this.memo.set(index, this.top());
  }

  recall(index: number | bigint): void {
    if (typeof index === 'bigint' || !this.memo.has(index)) {
      throw new PickleError(`the pickle recalls ${index}, which it has not stored`);
    }
    this.push(this.memo.get(index));
  }

  append(list: unknown, items: readonly unknown[]): unknown {
    if (!Array.isArray(list)) throw new PickleError('the pickle appends to what is not a list');
    for (const item of items) list.push(this.data(item));
    return list;
  }

  setItems(dict: unknown, items: readonly unknown[]): unknown {
    if (!(dict instanceof Map) || items.length % 2 !== 0) {
      throw new PickleError('the pickle fills something that is not a dictionary, or with half a pair');
    }
    for (let i = 0; i < items.length; i += 2) {
      dict.set(this.keys.canonical(dict, items[i]), this.data(items[i + 1]));
    }
    return dict;
  }

  addItems(set: unknown, items: readonly unknown[]): unknown {
    if (!(set instanceof Set)) throw new PickleError('the pickle adds to what is not a set');
    for (const item of items) set.add(this.keys.canonical(set, item));
    return set;
  }

  /** Pushes a global of the list. */
  find(module: unknown, name: unknown): void {
    const found =
      typeof module === 'string' && typeof name === 'string' ? allowedGlobal(module, name) : undefined;
    if (!found) {
      throw new PickleError(`the pickle names ${`${module}.${name}`.slice(0, 80)}, which is not allowed`);
    }
    this.globals.add(found);
    this.push(found);
  }

  /** What our function for a global makes of its arguments. */
  call(target: unknown, args: unknown): unknown {
    const call = this.globals.has(target) ? (target as Allowed).call : undefined;
    if (!call || !(args instanceof PyTuple))
      throw new PickleError('the pickle calls something that is not allowed');
    return call(args.items, this.budget);
  }

  /** The one value left. */
  finish(): unknown {
    const value = this.data(this.pop());
    if (this.stack.length > 0 || this.marks.length > 0) {
      throw new PickleError('the pickle leaves values behind');
    }
    if (this.cursor.left > 0) throw new PickleError(`${this.cursor.left} bytes follow the pickle`);
    return value;
  }

  /** A value that may stand in the result: numpy's placeholders resolved, globals refused. */
  private data(value: unknown): unknown {
    if (this.globals.has(value)) throw new PickleError('the pickle uses a global as data');
    return settled(value);
  }
}
