import { COST, type PickleBudget } from './budget';
import { clip, type PickleReader } from './reader';
import { PickleForeign, type PickleGlobal, type PickleHost, PickleTuple } from './values';

/**
 * What a pickle's opcodes work on: a stack with marks, a memo, and what the host lets a pickle name. Underflow, what is not
 * allowed and exhausted budgets are errors at the opcode.
 */
export class PickleMachine {
  private items: unknown[] = [];
  private readonly marked: unknown[][] = [];
  private readonly memo = new Map<number, unknown>();
  private readonly globals = new Set<PickleGlobal>();

  constructor(
    readonly reader: PickleReader,
    private readonly budget: PickleBudget,
    private readonly host: PickleHost,
  ) {}

  spend(bytes: number): void {
    if (!this.budget.spend(bytes))
      this.reader.fail('the pickle builds more than a file of this size may hold');
  }

  push(value: unknown): void {
    this.spend(COST.slot);
    this.items.push(value);
  }

  /** Pushes what takes memory besides its slot. */
  pushSized(value: unknown, bytes: number): void {
    this.spend(bytes);
    this.push(value);
  }

  pop(): unknown {
    if (this.items.length === 0) this.reader.fail('the pickle takes from an empty stack');
    return this.items.pop();
  }

  top(): unknown {
    if (this.items.length === 0) this.reader.fail('the pickle looks at an empty stack');
    return this.items.at(-1);
  }

  /** Removes and returns the last `count` values. */
  popMany(count: number): unknown[] {
    if (this.items.length < count) this.reader.fail('the pickle takes from an empty stack');
    this.spend(COST.container + COST.slot * count);
    return this.items.splice(this.items.length - count, count);
  }

  mark(): void {
    this.spend(COST.container);
    this.marked.push(this.items);
    this.items = [];
  }

  /** Everything since the last mark, which goes too. */
  popMark(): unknown[] {
    const before = this.marked.pop();
    if (!before) this.reader.fail('the pickle looks for a mark that is not there');
    const since = this.items;
    this.items = before as unknown[];
    return since;
  }

  /** Keeps the top of the stack under a number; by default the next one. */
  store(index = this.memo.size): void {
    this.spend(COST.entry);
    this.memo.set(index, this.top());
  }

  recall(index: number): void {
    if (!this.memo.has(index)) this.reader.fail(`the pickle recalls ${index}, which it has not stored`);
    this.push(this.memo.get(index));
  }

  /** Appends to the list on top. */
  append(items: readonly unknown[]): void {
    const target = this.top();
    if (target instanceof PickleForeign) this.add(target.parts, items);
    else if (Array.isArray(target)) this.add(target, items);
    else this.reader.fail('the pickle appends to what is not a list');
  }

  /** Fills the dictionary on top with keys and values in turn. */
  setItems(items: readonly unknown[]): void {
    const target = this.top();
    if (target instanceof PickleForeign) {
      this.add(target.parts, items);
      return;
    }
    if (!(target instanceof Map) || items.length % 2 !== 0)
      this.reader.fail('the pickle fills something that is not a dictionary');
    this.spend((COST.entry * items.length) / 2);
    for (let i = 0; i < items.length; i += 2) target.set(items[i], items[i + 1]);
  }

  /** Adds to the set on top. */
  addItems(items: readonly unknown[]): void {
    const target = this.top();
    if (target instanceof PickleForeign) {
      this.add(target.parts, items);
      return;
    }
    if (!(target instanceof Set)) this.reader.fail('the pickle adds to what is not a set');
    this.spend(COST.entry * items.length);
    for (const item of items) (target as Set<unknown>).add(item);
  }

  /** Pushes what the host has for a name. */
  find(module: unknown, name: unknown): void {
    if (typeof module !== 'string' || typeof name !== 'string')
      this.reader.fail('the pickle names a global without strings');
    const found = this.host.global(module, name);
    if (found) {
      this.globals.add(found);
      this.push(found);
      return;
    }
    const full = `${clip(module)}.${clip(name)}`;
    if (!this.host.foreign?.(module, name))
      this.reader.fail(`the pickle names ${full}, which is not allowed`);
    this.pushSized(new PickleForeign(full, this.reader.offset), COST.map);
  }

  /** Pushes what a global makes of its arguments. */
  call(target: unknown, args: unknown): void {
    if (target instanceof PickleForeign) {
      this.pushSized(new PickleForeign(target.name, target.offset, [args]), COST.map);
      return;
    }
    const callee = this.globals.has(target as PickleGlobal) ? (target as PickleGlobal).call : undefined;
    if (!callee || !(args instanceof PickleTuple)) this.reader.fail('the pickle calls what cannot be called');
    this.spend(COST.map);
    this.push(this.guarded(() => callee(args.items)));
  }

  /** The same with arguments by name, which serve no tensor. */
  callByName(target: unknown, args: unknown, byName: unknown): void {
    if (!(target instanceof PickleForeign))
      this.reader.fail('the pickle makes an object with named arguments');
    this.call(target, new PickleTuple([args, byName]));
  }

  /** Gives a state to the object on top. */
  build(state: unknown): void {
    const object = this.top();
    // state_dict() hangs its _metadata on the ordered dictionary; it says nothing about tensors.
    if (object instanceof Map && (state instanceof Map || state === null)) return;
    if (object instanceof PickleForeign) {
      this.spend(COST.slot);
      object.parts.push(state);
      return;
    }
    const builder = this.host.build;
    if (!builder) this.reader.fail('the pickle sets the state of an object, which is not allowed');
    this.guarded(() => builder(object, state));
  }

  /** Pushes what the persistent id on top stands for. */
  resolve(): void {
    const { persistent } = this.host;
    if (!persistent) this.reader.fail('the pickle has a persistent id, which means nothing here');
    const id = this.pop();
    this.spend(COST.map);
    this.push(this.guarded(() => persistent(id)));
  }

  /** The result of a pickle: the one value left. */
  finish(): unknown {
    const value = this.pop();
    if (this.items.length > 0 || this.marked.length > 0)
      this.reader.fail('the pickle stops with values left over');
    return value;
  }

  private add(target: unknown[], items: readonly unknown[]): void {
    this.spend(COST.slot * items.length);
    for (const item of items) target.push(item);
  }

  /** Runs host code; its TypeErrors say what is wrong with the arguments and get the place here. */
  private guarded<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      if (error instanceof TypeError) this.reader.fail(error.message);
      throw error;
    }
  }
}
