/** Pickles made to take memory or time: each must end in a PickleError, or a small value, after bounded work. */
import { describe, expect, it } from 'vitest';
import { PickleError, unpickle } from './index';

const text = (value: string) => Buffer.from(value, 'latin1');
const repeat = (bytes: string, times: number) => Buffer.alloc(bytes.length * times, text(bytes));
const MIB = 2 ** 20;
const short = (value: string) => Buffer.concat([Buffer.of(0x8c, value.length), text(value)]);
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const bytesOf = (length: number) => Buffer.concat([text('B'), u32(length), Buffer.alloc(length, 0x61)]);
const global = (module: string, name: string) => Buffer.concat([short(module), short(name), text('\x93')]);
/** numpy.dtype(code, False, True) */
const dtype = (code: string) => Buffer.concat([global('numpy', 'dtype'), short(code), text('\x89\x88\x87R')]);

const BOMBS: Record<string, Buffer> = {
  'lists that share one another, 2^150 when written out': Buffer.concat([
    text(']'),
    ...Array.from({ length: 150 }, () => text('\x942\x86')),
    text('.'),
  ]),
  'empty lists': Buffer.concat([text('('), repeat(']', 4 * MIB), text('l.')]),
  'empty dictionaries': Buffer.concat([text('('), repeat('}', 4 * MIB), text('l.')]),
  'empty sets': Buffer.concat([text('('), repeat('\x8f', 4 * MIB), text('l.')]),
  'empty tuples': Buffer.concat([text('('), repeat(')', 4 * MIB), text('l.')]),
  marks: repeat('(', 4 * MIB),
  'nothing, very often': Buffer.concat([text('('), repeat('N', 16 * MIB), text('l.')]),
  'one value, duplicated': Buffer.concat([text('(N'), repeat('2', 16 * MIB), text('l.')]),
  'a large key, set again and again': Buffer.concat([
    text('}'),
    text('X'),
    u32(MIB),
    Buffer.alloc(MIB, 0x61),
    text('\x940'),
    repeat('h\x00K\x01s', 200_000),
    text('.'),
  ]),
  'a large tuple as key, again and again': Buffer.concat([
    text('}('),
    repeat('K\x01', 900),
    text('t\x940'),
    repeat('h\x00K\x01s', 200_000),
    text('.'),
  ]),
  'one buffer as many arrays': Buffer.concat([
    global('numpy.core.numeric', '_frombuffer'),
    text('\x940'),
    bytesOf(MIB),
    text('\x940'),
    dtype('u1'),
    text('\x940'),
    text('J'),
    u32(MIB),
    text('\x85\x940'),
    text('('),
    repeat('h\x00(h\x01h\x02h\x03\x8c\x01CtR', 100),
    text('l.'),
  ]),
  'arrays of elements without a size': Buffer.concat([
    global('numpy.core.numeric', '_frombuffer'),
    text('\x940C\x00\x940'),
    dtype('U0'),
    text('\x940'),
    text('J'),
    u32(1_000_000),
    text('\x85\x940'),
    text('('),
    repeat('h\x00(h\x01h\x02h\x03\x8c\x01CtR', 100),
    text('l.'),
  ]),
  'an array larger than its bytes': Buffer.concat([
    global('numpy.core.numeric', '_frombuffer'),
    text('(C\x01a'),
    dtype('u1'),
    text('J'),
    u32(0x7fffffff),
    text('\x85\x8c\x01CtR.'),
  ]),
  'one text encoded again and again': Buffer.concat([
    global('_codecs', 'encode'),
    text('\x940X'),
    u32(MIB),
    Buffer.alloc(MIB, 0x61),
    text('\x940\x8c\x06latin1\x940('),
    repeat('h\x00h\x01h\x02\x86R', 1000),
    text('l.'),
  ]),
  'one list as many sets': Buffer.concat([
    global('builtins', 'set'),
    text('\x940('),
    repeat('K\x01', 100_000),
    text('l\x940('),
    repeat('h\x00h\x01\x85R', 100_000),
    text('l.'),
  ]),
  'a float that almost is one': Buffer.concat([text('F'), repeat('1', 4 * MIB), text('x\n.')]),
  'an integer of many digits': Buffer.concat([text('I'), repeat('7', 4 * MIB), text('\n.')]),
  'a length beyond the end': text('\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.'),
  'lists within lists': Buffer.concat([repeat('(', 100_000), text('N'), repeat('l', 100_000), text('.')]),
  'a list in itself': text(']\x94h\x00a.'),
};

describe('hostile pickles', () => {
  it.each(Object.entries(BOMBS))('%s', (_, bytes) => {
    const before = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed;
    expect(() => unpickle(bytes)).toThrow(PickleError);
    const after = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed;
    expect((after - before) / MIB).toBeLessThan(1024);
  });

  it('a text of backslashes is read in one go', () => {
    const slashes = Buffer.concat([text('V'), repeat('\\', 4 * MIB + 1), text('\n.')]);
    expect((unpickle(slashes) as string).length).toBe(4 * MIB + 1);
    expect(unpickle(text('V\\\\\\u0041\\u00e9\\x\n.'))).toBe('\\\\A\u00e9\\x');
  });

  it('leaves room for what rewards are', () => {
    const list = Buffer.concat([
      text('('),
      ...Array.from({ length: 200_000 }, () => text('G?\xf0\0\0\0\0\0\0')),
      text('l.'),
    ]);
    expect((unpickle(list) as number[]).length).toBe(200_000);
  });
});
