import { COST, type PickleBudget } from './budget';
import type { PickleReader } from './reader';

/** The unpickler's stack with its marks and memo; underflow and exhausted budgets are errors at the opcode. */
export class PickleStack {
  private items: unknown[] = [];
  private readonly marked: unknown[][] = [];
  private readonly memo = new Map<number, unknown>();

  constructor(
    private readonly reader: PickleReader,
    private readonly budget: PickleBudget,
  ) {}

  spend(bytes: number): void {
    if (!this.budget.spend(bytes))
      this.reader.fail('the pickle builds more than a file of this size may hold');
  }

  push(value: unknown): void {
    this.spend(COST.slot);
    this.items.push(value);
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

  store(index: number): void {
    this.spend(COST.entry);
    this.memo.set(index, this.top());
  }

  memoize(): void {
    this.store(this.memo.size);
  }

  recall(index: number): void {
    if (!this.memo.has(index)) this.reader.fail(`the pickle recalls ${index}, which it has not stored`);
    this.push(this.memo.get(index));
  }

  /** The result of a pickle: the one value left. */
  finish(): unknown {
    const value = this.pop();
    if (this.items.length > 0 || this.marked.length > 0)
      this.reader.fail('the pickle stops with values left over');
    return value;
  }
}
