import { decimal, float, rawUnicodeEscape } from './cursor';
import type { Machine } from './machine';
import { setState } from './numpy';
import { PickleError, PyTuple } from './values';

/** What an opcode does; by its byte, in the order and with the names of Python's pickletools. */
type Step = (machine: Machine) => void;

/** Pushes what is read from the bytes behind the opcode. */
const read =
  (value: (cursor: Machine['cursor']) => unknown): Step =>
  (machine) =>
    machine.push(value(machine.cursor));

/** Numbers, texts and bytes. */
const ATOMS: [number, Step][] = [
  [0x4e, read(() => null)], // NONE
  [0x88, read(() => true)], // NEWTRUE
  [0x89, read(() => false)], // NEWFALSE
  [0x49, read((cursor) => wholeOrBoolean(cursor.line()))], // INT
  [0x4c, read((cursor) => decimal(cursor.line().replace(/L$/, '')))], // LONG
  [0x46, read((cursor) => float(cursor.line()))], // FLOAT
  [0x56, read((cursor) => rawUnicodeEscape(cursor.line()))], // UNICODE
  [0x4a, read((cursor) => cursor.i32())], // BININT
  [0x4b, read((cursor) => cursor.u8())], // BININT1
  [0x4d, read((cursor) => cursor.u16())], // BININT2
  [0x8a, read((cursor) => cursor.long(cursor.u8()))], // LONG1
  [0x8b, read((cursor) => cursor.long(cursor.u32()))], // LONG4
  [0x47, read((cursor) => cursor.f64())], // BINFLOAT
  [0x8c, read((cursor) => cursor.utf8(cursor.u8()))], // SHORT_BINUNICODE
  [0x58, read((cursor) => cursor.utf8(cursor.u32()))], // BINUNICODE
  [0x8d, read((cursor) => cursor.utf8(cursor.u64()))], // BINUNICODE8
  [0x43, read((cursor) => cursor.copy(cursor.u8()))], // SHORT_BINBYTES
  [0x42, read((cursor) => cursor.copy(cursor.u32()))], // BINBYTES
  [0x8e, read((cursor) => cursor.copy(cursor.u64()))], // BINBYTES8
  [0x96, read((cursor) => cursor.copy(cursor.u64()))], // BYTEARRAY8
];

/** The booleans of protocol 0 are written as integers. */
const wholeOrBoolean = (text: string) => (text === '01' ? true : text === '00' ? false : decimal(text));

/** Hands over the last so many values, or all since the last mark, taken off the stack. */
const taking =
  (count: number | 'marked', use: (machine: Machine, items: unknown[]) => unknown): Step =>
  (m) => {
    use(m, count === 'marked' ? m.popMark() : Array.from({ length: count }, () => m.pop()).reverse());
  };

const tuple = (count: number | 'marked') => taking(count, (m, items) => m.push(new PyTuple(items)));

/** Lists, tuples, dictionaries and sets. */
const CONTAINERS: [number, Step][] = [
  [0x5d, (m) => m.push([])], // EMPTY_LIST
  [0x6c, taking('marked', (m, items) => m.push(m.append([], items)))], // LIST
  [0x61, taking(1, (m, items) => m.append(m.top(), items))], // APPEND
  [0x65, taking('marked', (m, items) => m.append(m.top(), items))], // APPENDS
  [0x29, tuple(0)], // EMPTY_TUPLE
  [0x85, tuple(1)], // TUPLE1
  [0x86, tuple(2)], // TUPLE2
  [0x87, tuple(3)], // TUPLE3
  [0x74, tuple('marked')], // TUPLE
  [0x7d, (m) => m.push(new Map())], // EMPTY_DICT
  [0x64, taking('marked', (m, items) => m.push(m.setItems(new Map(), items)))], // DICT
  [0x73, taking(2, (m, items) => m.setItems(m.top(), items))], // SETITEM
  [0x75, taking('marked', (m, items) => m.setItems(m.top(), items))], // SETITEMS
  [0x8f, (m) => m.push(new Set())], // EMPTY_SET
  [0x90, taking('marked', (m, items) => m.addItems(m.top(), items))], // ADDITEMS
  [0x91, taking('marked', (m, items) => m.push(m.addItems(new Set(), items)))], // FROZENSET
];

function checkProtocol({ cursor }: Machine): void {
  const protocol = cursor.u8();
  if (protocol > 5) throw new PickleError(`pickle protocol ${protocol} is not known`);
}

/** Frames only matter by their length: the bytes inside are opcodes like any others. */
function checkFrame({ cursor }: Machine): void {
  if (cursor.u64() > cursor.left) throw new PickleError('a frame is longer than the pickle');
}

/** Marks, the memo, frames. */
const BOOKKEEPING: [number, Step][] = [
  [0x80, checkProtocol], // PROTO
  [0x95, checkFrame], // FRAME
  [0x28, (m) => m.mark()], // MARK
  [0x30, (m) => void m.pop()], // POP
  [0x31, (m) => void m.popMark()], // POP_MARK
  [0x32, (m) => m.push(m.top())], // DUP
  [0x70, (m) => m.store(decimal(m.cursor.line()))], // PUT
  [0x71, (m) => m.store(m.cursor.u8())], // BINPUT
  [0x72, (m) => m.store(m.cursor.u32())], // LONG_BINPUT
  [0x94, (m) => m.store()], // MEMOIZE
  [0x67, (m) => m.recall(decimal(m.cursor.line()))], // GET
  [0x68, (m) => m.recall(m.cursor.u8())], // BINGET
  [0x6a, (m) => m.recall(m.cursor.u32())], // LONG_BINGET
];

/** Globals of the list, calls of them, and states of numpy's objects. */
const OBJECTS: [number, Step][] = [
  [0x63, (m) => m.find(m.cursor.line(), m.cursor.line())], // GLOBAL
  [0x93, taking(2, (m, [module, name]) => m.find(module, name))], // STACK_GLOBAL
  [0x52, taking(2, (m, [target, args]) => m.push(m.call(target, args)))], // REDUCE
  [0x62, taking(1, (m, [state]) => setState(m.top(), state, m.budget))], // BUILD
];

/** Every opcode that is followed; all others are refused. */
export const OPCODES: ReadonlyMap<number, Step> = new Map([
  ...ATOMS,
  ...CONTAINERS,
  ...BOOKKEEPING,
  ...OBJECTS,
]);
