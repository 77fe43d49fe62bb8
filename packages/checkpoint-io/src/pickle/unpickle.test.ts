import { describe, expect, it } from 'vitest';
import { CheckpointError } from '../errors';
import { type PickleHost, PickleTuple, readPickle } from './index';

const nothing: PickleHost = { global: () => undefined };
/** A pickle from pieces of text (one byte a character) and bytes. */
const pickle = (...parts: (string | number[])[]) =>
  Buffer.concat([Buffer.from([0x80, 2]), ...parts.map((part) => Buffer.from(part as string, 'latin1'))]);

describe('readPickle', () => {
  it('builds plain values', () => {
    // {'a': [1, -2, 3.5], 'b': (True, None), 'c': 2**40}
    const bytes = pickle(
      '}(X\x01\0\0\0a](K\x01J\xfe\xff\xff\xffG\x40\x0c\0\0\0\0\0\0eX\x01\0\0\0b\x88N\x86',
      'X\x01\0\0\0c\x8a\x06\0\0\0\0\0\x01u.',
    );
    expect(readPickle(bytes, nothing)).toEqual({
      value: new Map<string, unknown>([
        ['a', [1, -2, 3.5]],
        ['b', new PickleTuple([true, null])],
        ['c', 2 ** 40],
      ]),
      end: bytes.length,
    });
  });

  it('reads integers as Python 2 writes them beyond 32 bits', () => {
    const bytes = pickle('](I139832181927520\nI-5\nI01\nI00\nI12345678901234567890\ne.');
    const { value } = readPickle(bytes, nothing);
    expect(value).toEqual([139832181927520, -5, true, false, 12345678901234567890n]);
  });

  it('keeps shared references shared', () => {
    const { value } = readPickle(pickle(']q\0h\0\x86.'), nothing);
    const [first, second] = (value as PickleTuple).items;
    expect(first).toBe(second);
  });

  it('calls allow-listed globals and nothing else', () => {
    const host: PickleHost = {
      global: (module, name) =>
        `${module}.${name}` === 'math.add' ? { call: ([a, b]) => (a as number) + (b as number) } : undefined,
    };
    expect(readPickle(pickle('cmath\nadd\nK\x02K\x03\x86R.'), host).value).toBe(5);
    expect(() => readPickle(pickle('cmath\nsub\nK\x02K\x03\x86R.'), host)).toThrow(
      'math.sub, which is not allowed',
    );
    expect(() => readPickle(pickle('K\x01)R.'), host)).toThrow('calls what cannot be called');
    expect(() => readPickle(pickle('}X\x04\0\0\0callK\x01s)R.'), host)).toThrow(
      'calls what cannot be called',
    );
  });

  it.each([
    ['an empty stack', '.', 'empty stack'],
    ['a missing mark', 't.', 'a mark'],
    ['an unknown memo entry', 'h\x07.', 'recalls 7'],
    ['left-over values', 'NN.', 'left over'],
    ['an unknown opcode', 'i', 'opcode 0x69'],
    ['a missing end', 'N', 'truncated'],
    ['a string longer than the file', 'X\xff\xff\xff\x7fa.', 'truncated'],
    ['a huge integer', '\x8b\xff\xff\xff\x7f.', 'integer'],
    ['an integer in letters', 'I0x1\n.', '"0x1" is not an integer'],
    ['an integer of a thousand digits', `I${'9'.repeat(1000)}\n.`, 'is not an integer'],
    ['an integer that does not end', 'I12', 'truncated'],
    ['a state for an object', ']}b.', 'state'],
    ['a persistent id', 'K\x01Q.', 'persistent id'],
  ])('refuses %s', (_, text, message) => {
    expect(() => readPickle(pickle(text), nothing, { name: 'x.pkl' })).toThrow(CheckpointError);
    expect(() => readPickle(pickle(text), nothing, { name: 'x.pkl' })).toThrow(message);
  });

  it('refuses a file of nothing but dictionaries before it fills the memory', () => {
    const bytes = pickle('}'.repeat(4_000_000));
    const before = process.memoryUsage().heapUsed;
    expect(() => readPickle(bytes, nothing)).toThrow('more than a file of this size may hold');
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(10 * bytes.length);
  });
});
