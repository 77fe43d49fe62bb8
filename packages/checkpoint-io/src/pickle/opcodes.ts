import { COST } from './budget';
import type { PickleMachine } from './machine';
import type { PickleReader } from './reader';
import { PickleTuple } from './values';

/** What an opcode does. */
type Step = (machine: PickleMachine) => void;

/** Pushes what is read from the bytes behind the opcode. */
const read =
  (value: (reader: PickleReader) => unknown): Step =>
  (m) =>
    m.push(value(m.reader));

const text =
  (length: (reader: PickleReader) => number): Step =>
  (m) => {
    const bytes = length(m.reader);
    m.pushSized(m.reader.text(bytes), 2 * bytes);
  };

/** Numbers, texts and bytes. */
const ATOMS: [number, Step][] = [
  [0x4e, read(() => null)], // NONE
  [0x88, read(() => true)], // NEWTRUE
  [0x89, read(() => false)], // NEWFALSE
  [0x4a, read((reader) => reader.i32())], // BININT
  [0x4b, read((reader) => reader.u8())], // BININT1
  [0x4d, read((reader) => reader.u16())], // BININT2
  [0x49, read((reader) => reader.decimal())], // INT: what Python 2 writes of numbers beyond 32 bits, in protocol 2 too
  [0x8a, read((reader) => reader.long(reader.u8()))], // LONG1
  [0x8b, read((reader) => reader.long(reader.u32()))], // LONG4
  [0x47, read((reader) => reader.f64())], // BINFLOAT
  [0x8c, text((reader) => reader.u8())], // SHORT_BINUNICODE
  [0x58, text((reader) => reader.u32())], // BINUNICODE
  [0x8d, text((reader) => reader.u64())], // BINUNICODE8
  [0x55, text((reader) => reader.u8())], // SHORT_BINSTRING: Python 2 text
  [0x54, text((reader) => reader.u32())], // BINSTRING
  [0x43, read((reader) => reader.slice(reader.u8()))], // SHORT_BINBYTES
  [0x42, read((reader) => reader.slice(reader.u32()))], // BINBYTES
  [0x8e, read((reader) => reader.slice(reader.u64()))], // BINBYTES8
  [0x96, read((reader) => reader.slice(reader.u64()))], // BYTEARRAY8
];

const pushTuple = (m: PickleMachine, items: readonly unknown[]) =>
  m.pushSized(new PickleTuple(items), COST.container);

/** Lists, tuples, dictionaries and sets. */
const CONTAINERS: [number, Step][] = [
  [0x5d, (m) => m.pushSized([], COST.container)], // EMPTY_LIST
  [0x6c, (m) => m.push(m.popMark())], // LIST
  [0x61, (m) => m.append([m.pop()])], // APPEND
  [0x65, (m) => m.append(m.popMark())], // APPENDS
  [0x29, (m) => pushTuple(m, [])], // EMPTY_TUPLE
  [0x85, (m) => pushTuple(m, m.popMany(1))], // TUPLE1
  [0x86, (m) => pushTuple(m, m.popMany(2))], // TUPLE2
  [0x87, (m) => pushTuple(m, m.popMany(3))], // TUPLE3
  [0x74, (m) => pushTuple(m, m.popMark())], // TUPLE
  [0x7d, (m) => m.pushSized(new Map(), COST.map)], // EMPTY_DICT
  [0x64, dictionary], // DICT
  [0x73, (m) => m.setItems(m.popMany(2))], // SETITEM
  [0x75, (m) => m.setItems(m.popMark())], // SETITEMS
  [0x8f, (m) => m.pushSized(new Set(), COST.map)], // EMPTY_SET
  [0x90, (m) => m.addItems(m.popMark())], // ADDITEMS
  [0x91, frozenSet], // FROZENSET
];

function dictionary(m: PickleMachine): void {
  const items = m.popMark();
  m.pushSized(new Map(), COST.map);
  m.setItems(items);
}

function frozenSet(m: PickleMachine): void {
  const items = m.popMark();
  m.pushSized(new Set(items), COST.map + COST.entry * items.length);
}

function checkProtocol({ reader }: PickleMachine): void {
  const protocol = reader.u8();
  if (protocol < 2 || protocol > 5) reader.fail(`pickle protocol ${protocol} is not supported`);
}

/** Marks, the memo, frames. */
const BOOKKEEPING: [number, Step][] = [
  [0x80, checkProtocol], // PROTO
  [0x95, (m) => void m.reader.u64()], // FRAME: its length only helps readers that buffer
  [0x28, (m) => m.mark()], // MARK
  [0x30, (m) => void m.pop()], // POP
  [0x31, (m) => void m.popMark()], // POP_MARK
  [0x32, (m) => m.push(m.top())], // DUP
  [0x71, (m) => m.store(m.reader.u8())], // BINPUT
  [0x72, (m) => m.store(m.reader.u32())], // LONG_BINPUT
  [0x94, (m) => m.store()], // MEMOIZE
  [0x68, (m) => m.recall(m.reader.u8())], // BINGET
  [0x6a, (m) => m.recall(m.reader.u32())], // LONG_BINGET
];

/** Hands over the last so many values, taken off the stack. */
const taking =
  (count: number, use: (machine: PickleMachine, items: unknown[]) => void): Step =>
  (m) =>
    use(m, m.popMany(count));

/** What the host knows: globals, calls of them, states and persistent ids. */
const OBJECTS: [number, Step][] = [
  [0x63, (m) => m.find(m.reader.line(), m.reader.line())], // GLOBAL
  [0x93, taking(2, (m, [module, name]) => m.find(module, name))], // STACK_GLOBAL
  [0x52, taking(2, (m, [target, args]) => m.call(target, args))], // REDUCE
  [0x81, taking(2, (m, [target, args]) => m.call(target, args))], // NEWOBJ
  [0x92, taking(3, (m, [target, args, byName]) => m.callByName(target, args, byName))], // NEWOBJ_EX
  [0x62, (m) => m.build(m.pop())], // BUILD
  [0x51, (m) => m.resolve()], // BINPERSID
];

/** Ends a pickle. */
export const STOP = 0x2e;

/** Every opcode that is followed, by its byte and with its name in Python's pickletools; all others are refused. */
export const OPCODES: ReadonlyMap<number, Step> = new Map([
  ...ATOMS,
  ...CONTAINERS,
  ...BOOKKEEPING,
  ...OBJECTS,
]);
